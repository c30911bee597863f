// The orders service: places an order by commands of the inventory and the payments service, and takes back what was
// done when a later step fails.
import { randomUUID } from 'node:crypto';
import {
  CommandCallError,
  type CommandClient,
  type CommandContext,
  CommandError,
  createWorker,
  type Progress,
  type Worker,
  type WorkerOptions,
} from '@sluice/worker';
import type { Reservation } from './inventory.ts';
import { type Item, type Order, OrderStore } from './order-store.ts';
import type { Payment } from './payments.ts';

export interface CreateOrderRequest {
  readonly customerId: string;
  readonly items: readonly Item[];
}

const CALL_TIMEOUT_MS = 20_000;
const UNDO_TIMEOUT_MS = 20_000;

export function createOrdersWorker(options: Omit<WorkerOptions, 'group'>, client: CommandClient): Worker {
  const store = new OrderStore();
  return createWorker({ ...options, group: 'orders' })
    .handle('orders.v1.Orders/CreateOrder', (request: CreateOrderRequest, context) =>
      new Placing(client, store, request, context).run(),
    )
    .handle('orders.v1.Orders/GetOrder', ({ id }: { id: string }) => store.find(id));
}

/** One order on its way. Its id is the operation's, so that a command which comes twice makes one order. */
class Placing {
  readonly #client: CommandClient;
  readonly #store: OrderStore;
  readonly #request: CreateOrderRequest;
  readonly #context: CommandContext;
  readonly #id: string;
  /** True once stock, or money, may have been taken: what has an unknown end is taken back as well. */
  #stockTaken = false;
  #moneyTaken = false;

  constructor(client: CommandClient, store: OrderStore, request: CreateOrderRequest, context: CommandContext) {
    this.#client = client;
    this.#store = store;
    this.#request = request;
    this.#context = context;
    this.#id = context.operationId ?? randomUUID();
  }

  async run(): Promise<Order> {
    const earlier = this.#store.peek(this.#id);
    if (earlier) return answerOf(earlier);
    try {
      const totalCents = await this.#reserveStock();
      const payment = await this.#charge(totalCents);
      return await this.#save(totalCents, payment);
    } catch (error) {
      if (!this.#isStopping()) await this.#takeBack();
      throw error;
    }
  }

  /** This worker stops: the command will run again, and goes on where it was, for each step is made once. */
  #isStopping(): boolean {
    const { signal } = this.#context;
    return signal.aborted && (signal.reason as CommandError).code === 'UNAVAILABLE';
  }

  async #reserveStock(): Promise<string> {
    const { items } = this.#request;
    const reservation = await this.#step('inventory.v1.Inventory/ReserveStock', { orderId: this.#id, items }, () => {
      this.#stockTaken = true;
    });
    const { totalCents } = reservation as Reservation;
    if (totalCents === undefined) throw new CommandError('FAILED_PRECONDITION', 'an item has no price');
    return totalCents;
  }

  async #charge(amountCents: string): Promise<Payment> {
    const request = { orderId: this.#id, customerId: this.#request.customerId, amountCents };
    const payment = await this.#step('payments.v1.Payments/CreatePayment', request, () => {
      this.#moneyTaken = true;
    });
    return payment as Payment;
  }

  /** A failure here is the one that leaves a trace: the customer was charged, if only for a moment. */
  async #save(totalCents: string, payment: Payment): Promise<Order> {
    const { customerId, items } = this.#request;
    const createdAt = new Date().toISOString();
    const order: Order = {
      id: this.#id,
      customerId,
      items,
      totalCents,
      state: 'PLACED',
      paymentId: payment.id,
      createdAt,
    };
    try {
      this.#store.save(order);
      return order;
    } catch (error) {
      this.#context.log.error({ error }, 'order not stored');
      const { stockReleased, paymentRefunded } = await this.#takeBack();
      const message = 'the order could not be stored';
      this.#store.recordFailure(order, { reason: 'ORDER_STORE_FAILED', message, stockReleased, paymentRefunded });
      return answerOf(this.#store.find(this.#id));
    }
  }

  /** `onTaken` is called unless it is certain that the other service did nothing. */
  async #step(method: string, request: object, onTaken: () => void): Promise<unknown> {
    try {
      const response = await this.#client.call(method, request, {
        context: this.#context,
        id: `${this.#id}.${method}`,
        key: this.#id,
        timeoutMs: CALL_TIMEOUT_MS,
        onProgress: (progress) => void this.#context.progress(progress as Progress),
      });
      onTaken();
      return response;
    } catch (error) {
      const nothingDone = error instanceof CommandCallError && error.delivery !== 'unknown';
      if (!nothingDone) onTaken();
      throw error;
    }
  }

  /** Last step first. Twice is once: what was taken back is not taken back again. */
  async #takeBack(): Promise<{ stockReleased: boolean; paymentRefunded: boolean }> {
    const paymentRefunded = this.#moneyTaken && (await this.#undo('payments.v1.Payments/RefundPayment'));
    const stockReleased = this.#stockTaken && (await this.#undo('inventory.v1.Inventory/ReleaseStock'));
    if (paymentRefunded) this.#moneyTaken = false;
    if (stockReleased) this.#stockTaken = false;
    return { stockReleased, paymentRefunded };
  }

  /** Without the command's deadline and signal: what was taken is given back although nobody waits any more. */
  async #undo(method: string): Promise<boolean> {
    const { trace, hops, principal } = this.#context;
    try {
      await this.#client.call(
        method,
        { orderId: this.#id },
        { context: { trace, hops, principal }, id: `${this.#id}.${method}`, key: this.#id, timeoutMs: UNDO_TIMEOUT_MS },
      );
      return true;
    } catch (error) {
      this.#context.log.error({ error, undo: method }, 'not taken back');
      return false;
    }
  }
}

/** The order, or the error that tells of its failure and names it, so that the caller can look it up. */
function answerOf(order: Order): Order {
  if (order.failure === undefined) return order;
  const resource = { '@type': 'type.googleapis.com/google.rpc.ResourceInfo', resourceType: 'orders.v1.Order' };
  throw new CommandError('ABORTED', `${order.failure.message}; see order ${order.id}`, [
    { ...resource, resourceName: order.id, description: order.failure.reason },
  ]);
}
