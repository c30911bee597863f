import { expect, test } from 'vitest';
import { parseJsonBody } from '../../src/contract/json-body.ts';
import { assembleRequest } from '../../src/contract/transcode.ts';
import { call, commandOf, failureOf, loadProto } from './contract-support.ts';

const ORDERS = `
// Orders of books.
service Orders {
  // Places an order.
  rpc CreateOrder(CreateOrderRequest) returns (Order) {
    option (google.api.http) = { post: "/v1/orders" body: "*" };
    option (sluice.v1.command) = { topic: "orders" key: "customer_id" wait: "5s" json: { names: PROTO } };
  }
  rpc GetOrder(GetOrderRequest) returns (Order) {
    option (google.api.http) = { get: "/v1/orders/{id}" };
  }
}
message CreateOrderRequest {
  string customer_id = 1 [(google.api.field_behavior) = REQUIRED];
  repeated Item items = 2 [(buf.validate.field).repeated.min_items = 1];
}
message Item { string sku = 1 [(buf.validate.field).string.min_len = 1]; int32 quantity = 2; }
message GetOrderRequest { string id = 1; }
message Order { string id = 1; string customer_id = 2; }
`;

const contract = await loadProto(ORDERS, { topicNamespace: 'dev' });
const create = commandOf(contract, 'test.v1.Orders/CreateOrder');

test('a REST call becomes a record and its reply becomes JSON', () => {
  const match = contract.routes.match('POST', '/v1/orders');
  if (match.kind !== 'match') throw new Error(match.kind);
  const body = parseJsonBody(Buffer.from('{"customerId":"c1","items":[{"sku":"BOOK","quantity":1}]}'));
  const message = assembleRequest(match.command, match.binding, match.variables, '', body);
  match.command.codec.validateRequest(message, match.binding);
  const record = create.codec.encodeRequest(message);
  expect(record.contentType).toBe('application/json');
  expect(JSON.parse(Buffer.from(record.value).toString())).toEqual({
    customer_id: 'c1',
    items: [{ sku: 'BOOK', quantity: 1 }],
  });
  expect(String(create.codec.keyOf(message))).toBe('c1');
  const reply = create.codec.replyFromWire(Buffer.from('{"id":"o1","customer_id":"c1"}'), 'application/json');
  expect(create.codec.replyToJson(reply, match.binding)).toBe('{"id":"o1","customerId":"c1"}');
  expect(Buffer.isBuffer(create.codec.replyToBinary(reply))).toBe(true);
});

test('a path variable reaches the request', () => {
  expect(call(contract, 'GET', '/v1/orders/o%201')).toEqual({ GetOrder: { id: 'o 1' } });
});

test('a command has its policy, comment and names', () => {
  expect(create).toMatchObject({
    name: 'test.v1.Orders/CreateOrder',
    type: 'test.v1.Orders.CreateOrder',
    comment: 'Places an order.',
    kind: 'unary',
    policy: { topic: 'dev.orders', waitMs: 5000, maxWaitMs: 60_000, timeoutMs: 60_000, onTimeout: 'ACCEPT' },
  });
  expect(commandOf(contract, 'test.v1.Orders/GetOrder').policy.topic).toBe('dev.test.v1.Orders.GetOrder');
});

test('a broken rule names its place', () => {
  const failure = failureOf(() => call(contract, 'POST', '/v1/orders', { items: [{ sku: '' }] }));
  expect(failure.code).toBe('REQUEST_INVALID');
  expect(failure.violations.map((violation) => violation.pointer)).toEqual(['#/customerId', '#/items/0/sku']);
});
