// The payments service: one payment an order, in memory.
import { randomUUID } from 'node:crypto';
import { CommandError, createWorker, type Worker, type WorkerOptions } from '@sluice/worker';

export interface CreatePaymentRequest {
  readonly orderId: string;
  readonly customerId: string;
  /** An int64: in JSON a string. */
  readonly amountCents: string;
}

export interface Payment extends CreatePaymentRequest {
  readonly id: string;
  readonly state: 'CHARGED' | 'REFUNDED';
  readonly createdAt: string;
}

/** Its bank says no. */
const DECLINED_CUSTOMER = 'c-declined';
/** Orders whose refund came before, or without, their payment; the oldest go first. */
const MAX_GIVEN_UP = 10_000;

export class Payments {
  readonly #byOrder = new Map<string, Payment>();
  readonly #givenUp = new Set<string>();

  /** The payment that an order has stands. Throws FAILED_PRECONDITION, or ABORTED for an order that was given up. */
  charge(request: CreatePaymentRequest): Payment {
    const { orderId, customerId, amountCents } = request;
    const earlier = this.#byOrder.get(orderId);
    if (earlier) return earlier;
    if (this.#givenUp.has(orderId)) throw new CommandError('ABORTED', `order ${orderId} was given up`);
    if (customerId === DECLINED_CUSTOMER) {
      throw new CommandError(
        'FAILED_PRECONDITION',
        `the payment of ${amountCents} cents by ${customerId} was declined`,
      );
    }
    const createdAt = new Date().toISOString();
    const payment: Payment = { id: randomUUID(), orderId, customerId, amountCents, state: 'CHARGED', createdAt };
    this.#byOrder.set(orderId, payment);
    return payment;
  }

  paymentOf(orderId: string): Payment {
    const payment = this.#byOrder.get(orderId);
    if (payment === undefined) throw new CommandError('NOT_FOUND', `order ${orderId} has no payment`);
    return payment;
  }

  refund(orderId: string): Payment {
    this.#giveUp(orderId);
    const payment: Payment = { ...this.paymentOf(orderId), state: 'REFUNDED' };
    this.#byOrder.set(orderId, payment);
    return payment;
  }

  /** A charge that is overtaken by its refund must not be made. */
  #giveUp(orderId: string): void {
    this.#givenUp.add(orderId);
    const [oldest] = this.#givenUp;
    if (this.#givenUp.size > MAX_GIVEN_UP && oldest !== undefined) this.#givenUp.delete(oldest);
  }
}

export function createPaymentsWorker(options: Omit<WorkerOptions, 'group'>): Worker {
  const payments = new Payments();
  return createWorker({ ...options, group: 'payments' })
    .handle('payments.v1.Payments/CreatePayment', (request: CreatePaymentRequest) => payments.charge(request))
    .handle('payments.v1.Payments/GetPayment', ({ orderId }: { orderId: string }) => payments.paymentOf(orderId))
    .handle('payments.v1.Payments/RefundPayment', ({ orderId }: { orderId: string }) => payments.refund(orderId));
}
