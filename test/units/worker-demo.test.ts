// The demo's four cases, on the in-process broker that `npm start` gives it, called as another service would.
import { randomUUID } from 'node:crypto';
import { type CommandCallError, CommandClient, silentLogger } from '@sluice/worker';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createInProcessTransport, startInProcess } from '../../examples/orders/in-process.ts';
import type { Order } from '../../examples/orders/order-store.ts';
import type { RunningServices } from '../../examples/orders/services.ts';
import { MemoryBroker } from '../../src/channel/memory-broker.ts';
import { systemClock } from '../../src/runtime/clock.ts';

let broker: MemoryBroker;
let services: RunningServices;
let client: CommandClient;
let pauses: PromiseWithResolvers<void>[];

beforeEach(async () => {
  broker = new MemoryBroker({ clock: systemClock });
  pauses = [];
  const pause = async () => {
    pauses.push(Promise.withResolvers());
    await pauses.at(-1)?.promise;
  };
  services = await startInProcess(broker, { logger: silentLogger, pause });
  client = new CommandClient({ transport: createInProcessTransport(broker), name: 'caller', logger: silentLogger });
  await client.start();
});

afterEach(async () => {
  await client.close();
  await services.stop({ timeoutMs: 1_000 });
  await broker.close();
});

const createOrder = (customerId: string, sku: string, options = {}): Promise<Order> =>
  client.call('orders.v1.Orders/CreateOrder', { customerId, items: [{ sku, quantity: 2 }] }, options);
const getOrder = (id: string) => client.call('orders.v1.Orders/GetOrder', { id });
const stockOf = (sku: string) => client.call('inventory.v1.Inventory/GetStock', { sku });
const paymentOf = (orderId: string) => client.call('payments.v1.Payments/GetPayment', { orderId });
const reasonOf = (call: Promise<unknown>) =>
  call.then(
    () => Promise.reject(new Error('it succeeded')),
    (error: CommandCallError) => error,
  );

describe('placing an order', () => {
  test('reserves stock and charges the price, by commands of the other two', async () => {
    const order = await createOrder('c1', 'BOOK');
    expect(order).toMatchObject({ customerId: 'c1', totalCents: '5000', state: 'PLACED' });
    expect(await getOrder(order.id)).toEqual(order);
    expect(await paymentOf(order.id)).toMatchObject({ id: order.paymentId, amountCents: '5000', state: 'CHARGED' });
    expect(await stockOf('BOOK')).toEqual({ sku: 'BOOK', available: 999_998, reserved: 2 });
    for (const topic of ['inventory.v1.Inventory.ReserveStock', 'payments.v1.Payments.CreatePayment']) {
      const ends = Array.from({ length: broker.partitionCount(topic) }, (_, n) => broker.bounds(topic, n).end);
      expect(ends.reduce((sum, end) => sum + end, 0n)).toBe(1n);
    }
  });

  test('whose stock is refused makes no order', async () => {
    const id = randomUUID();
    expect(await reasonOf(createOrder('c1', 'SOLD-OUT', { id }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      delivery: 'failed',
      message: expect.stringContaining('SOLD-OUT is sold out'),
    });
    expect(await reasonOf(getOrder(id))).toMatchObject({ code: 'NOT_FOUND' });
    expect(await reasonOf(paymentOf(id))).toMatchObject({ code: 'NOT_FOUND' });
  });

  test.each([
    ['price', 'c1', 'PRICELESS', 10],
    ['payment', 'c-declined', 'BOOK', 1_000_000],
  ])('whose %s fails gives the stock back', async (_what, customerId, sku, available) => {
    const id = randomUUID();
    expect(await reasonOf(createOrder(customerId, sku, { id }))).toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect(await stockOf(sku)).toEqual({ sku, available, reserved: 0 });
    expect(await reasonOf(getOrder(id))).toMatchObject({ code: 'NOT_FOUND' });
  });

  test('that cannot be stored gives stock and money back, and its failure is on record', async () => {
    const id = randomUUID();
    expect(await reasonOf(createOrder('c-unstorable', 'BOOK', { id }))).toMatchObject({
      code: 'ABORTED',
      details: [expect.objectContaining({ resourceName: id })],
    });
    expect(await stockOf('BOOK')).toEqual({ sku: 'BOOK', available: 1_000_000, reserved: 0 });
    expect(await paymentOf(id)).toMatchObject({ state: 'REFUNDED' });
    expect(await getOrder(id)).toMatchObject({
      state: 'FAILED',
      failure: { reason: 'ORDER_STORE_FAILED', stockReleased: true, paymentRefunded: true },
    });
  });

  test('of a slow thing reports rising progress through both services', async () => {
    const seen: unknown[] = [];
    const order = createOrder('c1', 'SLOW', {
      onProgress: (progress: { percent: number }) => seen.push(progress.percent),
    });
    for (let step = 1; step <= 4; step++) {
      await expect.poll(() => pauses.length).toBe(step);
      pauses.at(-1)?.resolve();
    }
    expect(await order).toMatchObject({ state: 'PLACED', totalCents: '19800' });
    expect(seen).toEqual([25, 50, 75, 100]);
  });

  test('twice by the same command is one order', async () => {
    const id = randomUUID();
    const [first, second] = await Promise.all([createOrder('c1', 'BOOK', { id }), createOrder('c1', 'BOOK', { id })]);
    expect(second).toEqual(first);
    expect(await stockOf('BOOK')).toMatchObject({ reserved: 2 });
  });
});

describe('the other two services', () => {
  test('one payment an order, and a declined customer', async () => {
    const pay = (orderId: string, customerId: string) =>
      client.call('payments.v1.Payments/CreatePayment', { orderId, customerId, amountCents: '100' });
    expect(await pay('o1', 'c1')).toEqual(await pay('o1', 'c1'));
    expect(await reasonOf(pay('o2', 'c-declined'))).toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  test('what is not known is NOT_FOUND', async () => {
    for (const call of [getOrder('no'), paymentOf('no'), stockOf('NO')]) {
      expect(await reasonOf(call)).toMatchObject({ code: 'NOT_FOUND' });
    }
  });

  test('a reservation that comes after its release takes nothing', async () => {
    await client.call('inventory.v1.Inventory/ReleaseStock', { orderId: 'o1' });
    const items = [{ sku: 'BOOK', quantity: 1 }];
    const late = client.call('inventory.v1.Inventory/ReserveStock', { orderId: 'o1', items });
    expect(await reasonOf(late)).toMatchObject({ code: 'ABORTED' });
    expect(await stockOf('BOOK')).toMatchObject({ reserved: 0 });
  });
});
