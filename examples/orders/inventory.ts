// The inventory service: what is on the shelf, in memory. Knows nothing of orders but their ids.
import { setTimeout as wait } from 'node:timers/promises';
import { type CommandContext, CommandError, createWorker, type Worker, type WorkerOptions } from '@sluice/worker';

interface StockItem {
  readonly sku: string;
  readonly quantity: number;
}

export interface ReserveStockRequest {
  readonly orderId: string;
  readonly items: readonly StockItem[];
}

/** `totalCents` is an int64, in JSON a string; absent where an item has no price. */
export interface Reservation {
  readonly orderId: string;
  readonly totalCents?: string;
}

interface Shelf {
  available: number;
  reserved: number;
  /** Null: in stock, but nobody has said what it costs. */
  readonly priceCents: number | null;
}

/** Resolves after `delayMs`; rejects when the signal fires. A test's need not wait. */
export type Pause = (delayMs: number, signal: AbortSignal) => Promise<void>;

const SLOW_STEPS = 4;
const STEP_MS = 1_000;
/** What a release leaves behind, so that a reservation which comes late takes nothing; the oldest go first. */
const MAX_RELEASED = 10_000;

export class Inventory {
  readonly #shelves = new Map<string, Shelf>([
    ['BOOK', { available: 1_000_000, reserved: 0, priceCents: 2_500 }],
    ['PEN', { available: 1_000_000, reserved: 0, priceCents: 150 }],
    ['SLOW', { available: 1_000_000, reserved: 0, priceCents: 9_900 }],
    ['PRICELESS', { available: 10, reserved: 0, priceCents: null }],
    ['SOLD-OUT', { available: 0, reserved: 0, priceCents: 100 }],
  ]);
  readonly #held = new Map<string, readonly StockItem[]>();
  readonly #released = new Set<string>();

  stockOf(sku: string): { sku: string; available: number; reserved: number } {
    const { available, reserved } = this.#shelf(sku);
    return { sku, available, reserved };
  }

  /** All or nothing. Throws FAILED_PRECONDITION, NOT_FOUND, or ABORTED for an order that was given up. */
  reserve({ orderId, items }: ReserveStockRequest): Reservation {
    if (this.#released.has(orderId)) throw new CommandError('ABORTED', `order ${orderId} was given up`);
    if (!this.#held.has(orderId)) this.#take(orderId, items);
    return { orderId, ...this.#priceOf(items) };
  }

  release(orderId: string): { released: boolean } {
    const items = this.#held.get(orderId);
    this.#held.delete(orderId);
    this.#remember(orderId);
    for (const { sku, quantity } of items ?? []) this.#move(sku, -quantity);
    return { released: items !== undefined };
  }

  #take(orderId: string, items: readonly StockItem[]): void {
    const wanted = new Map<string, number>();
    for (const { sku, quantity } of items) wanted.set(sku, (wanted.get(sku) ?? 0) + quantity);
    for (const [sku, quantity] of wanted) {
      const { available } = this.#shelf(sku);
      if (available >= quantity) continue;
      throw new CommandError('FAILED_PRECONDITION', `${sku} is sold out: ${quantity} wanted, ${available} there`);
    }
    for (const [sku, quantity] of wanted) this.#move(sku, quantity);
    this.#held.set(orderId, items);
  }

  #move(sku: string, quantity: number): void {
    const shelf = this.#shelf(sku);
    shelf.available -= quantity;
    shelf.reserved += quantity;
  }

  #priceOf(items: readonly StockItem[]): { totalCents?: string } {
    let total = 0;
    for (const { sku, quantity } of items) {
      const { priceCents } = this.#shelf(sku);
      if (priceCents === null) return {};
      total += priceCents * quantity;
    }
    return { totalCents: String(total) };
  }

  #shelf(sku: string): Shelf {
    const shelf = this.#shelves.get(sku);
    if (shelf === undefined) throw new CommandError('NOT_FOUND', `there is no ${sku}`);
    return shelf;
  }

  #remember(orderId: string): void {
    this.#released.add(orderId);
    const [oldest] = this.#released;
    if (this.#released.size > MAX_RELEASED && oldest !== undefined) this.#released.delete(oldest);
  }
}

const pauseForReal: Pause = async (delayMs, signal) => {
  await wait(delayMs, undefined, { signal });
};

export function createInventoryWorker(options: Omit<WorkerOptions, 'group'>, pause: Pause = pauseForReal): Worker {
  const inventory = new Inventory();
  return createWorker({ ...options, group: 'inventory' })
    .handle('inventory.v1.Inventory/GetStock', ({ sku }: { sku: string }) => inventory.stockOf(sku))
    .handle('inventory.v1.Inventory/ReserveStock', async (request: ReserveStockRequest, context) => {
      if (request.items.some((item) => item.sku === 'SLOW')) await walkToTheShelf(context, pause);
      return inventory.reserve(request);
    })
    .handle('inventory.v1.Inventory/ReleaseStock', ({ orderId }: { orderId: string }) => inventory.release(orderId));
}

/** Four seconds, a report after each. Gives up when the deadline has passed: nothing is taken then. */
async function walkToTheShelf(context: CommandContext, pause: Pause): Promise<void> {
  for (let step = 1; step <= SLOW_STEPS; step++) {
    await pause(STEP_MS, context.signal);
    await context.progress({ percent: (100 * step) / SLOW_STEPS, message: `step ${step} of ${SLOW_STEPS}` });
  }
}
