// The orders' store: in memory, and for one customer out of order.
import { CommandError } from '@sluice/worker';

export interface Item {
  readonly sku: string;
  readonly quantity: number;
}

export interface Failure {
  readonly reason: 'ORDER_STORE_FAILED';
  readonly message: string;
  readonly stockReleased: boolean;
  readonly paymentRefunded: boolean;
}

export interface Order {
  readonly id: string;
  readonly customerId: string;
  readonly items: readonly Item[];
  /** An int64: in JSON a string. */
  readonly totalCents: string;
  readonly state: 'PLACED' | 'FAILED';
  readonly paymentId: string;
  readonly createdAt: string;
  readonly failure?: Failure;
}

/** Its orders cannot be stored. */
const UNSTORABLE_CUSTOMER = 'c-unstorable';

export class OrderStore {
  readonly #orders = new Map<string, Order>();

  /** Throws for one customer, as a database that is full would. */
  save(order: Order): void {
    if (order.customerId === UNSTORABLE_CUSTOMER) throw new Error('no space left in the order store');
    this.#orders.set(order.id, order);
  }

  /** A journal beside the orders, which takes what they do not. */
  recordFailure(order: Order, failure: Failure): void {
    this.#orders.set(order.id, { ...order, state: 'FAILED', failure });
  }

  /** Throws NOT_FOUND. */
  find(id: string): Order {
    const order = this.#orders.get(id);
    if (order === undefined) throw new CommandError('NOT_FOUND', `there is no order ${id}`);
    return order;
  }

  /** Undefined where there is none. */
  peek(id: string): Order | undefined {
    return this.#orders.get(id);
  }
}
