// Whatever a caller sends: a 4xx that names the field, nothing on the channel, never a 5xx, never a crash.
import { Agent, request as sendHttp } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/runtime/log.ts';
import { badHttp } from '../support/bad-http.ts';
import { type BadMessage, badMessage } from '../support/bad-messages.ts';
import { type BadRequest, badRequest, MAX_BODY_BYTES, MAX_JSON_DEPTH, type Place } from '../support/bad-requests.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';

const TOGETHER = 25;
const REST_RUNS = 360;
const GRPC_RUNS = 60;
const HTTP_RUNS = 16;

interface Answered {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

describe('bad input', () => {
  const prototypeBefore = describePrototype();
  const defects: object[] = [];
  const agent = new Agent({ keepAlive: true, maxSockets: TOGETHER });
  let sluice: TestGateway;
  let sent = 0;

  beforeAll(async () => {
    const logger = { ...silentLogger, error: (fields: object) => defects.push(fields), child: () => logger };
    sluice = await startTestGateway({
      stack: 'embedded',
      // A request that is taken by mistake shall fail the test, not hold it up.
      config: {
        http: { maxBodyBytes: MAX_BODY_BYTES, maxJsonDepth: MAX_JSON_DEPTH },
        contract: { policies: { services: { 'calls.v1.Calls': { wait: '1ms' } } } },
      },
      parts: { logger },
    });
  });
  afterAll(async () => {
    agent.destroy();
    await sluice.close();
  });

  it('over REST is a problem that names the field', { timeout: 60_000 }, async () => {
    const requests = fc.array(badRequest, { minLength: TOGETHER, maxLength: TOGETHER });
    const property = fc.asyncProperty(requests, async (all) => {
      const wrong = await Promise.all(all.map(async (request) => findWrong(request, await send(request))));
      sent += all.length;
      expect(wrong.filter((each) => each !== null)).toEqual([]);
    });
    await fc.assert(property, { numRuns: REST_RUNS, endOnFailure: true });
  });

  it('that is no HTTP is a problem too', { timeout: 60_000 }, async () => {
    const property = fc.asyncProperty(fc.array(badHttp, { minLength: TOGETHER, maxLength: TOGETHER }), async (all) => {
      const answers = await Promise.all(all.map(sendBytes));
      sent += all.length;
      for (const [index, answer] of answers.entries()) {
        const shown = `${JSON.stringify(all[index]!.toString('latin1'))}: ${answer}`;
        expect(answer, shown).toMatch(/^HTTP\/1\.1 4\d\d /);
        expect(answer, shown).toContain('application/problem+json');
      }
    });
    await fc.assert(property, { numRuns: HTTP_RUNS, endOnFailure: true });
  });

  it('over gRPC is INVALID_ARGUMENT that was not sent', { timeout: 60_000 }, async () => {
    const property = fc.asyncProperty(
      fc.array(badMessage, { minLength: TOGETHER, maxLength: TOGETHER }),
      async (all) => {
        const wrong = await Promise.all(all.map(findWrongOfGrpc));
        sent += all.length;
        expect(wrong.filter((each) => each !== null)).toEqual([]);
      },
    );
    await fc.assert(property, { numRuns: GRPC_RUNS, endOnFailure: true });
  });

  it('over gRPC in metadata is refused as well', async () => {
    const long = await sluice.grpc.call('Do', {}, { metadata: { 'x-long': 'x'.repeat(17_000) } });
    expect(long.code).toBe('INVALID_ARGUMENT');
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`x-${index}`, '1']));
    expect((await sluice.grpc.call('Do', {}, { metadata: many })).code).toBe('INVALID_ARGUMENT');
    const hops = await sluice.grpc.call('Do', {}, { metadata: { 'sluice-hops': 'many' } });
    expect(hops.code).toBe('INVALID_ARGUMENT');
    expect(hops.details?.violations[0]?.field).toBe('sluice-hops');
    const large = await sluice.grpc.call('Do', { text: 'x'.repeat(800_000) });
    expect(large.code).toBe('RESOURCE_EXHAUSTED');
    expect(large.details?.info).toMatchObject({ reason: 'REQUEST_TOO_LARGE', metadata: { delivery: 'not_sent' } });
    const token = { pageToken: '\u0000' };
    expect((await sluice.grpc.call('google.longrunning.Operations/ListOperations', token)).code).toBe(
      'INVALID_ARGUMENT',
    );
  });

  it('was sent ten thousand times, and nothing of it reached the channel or the store', async () => {
    expect(sent).toBeGreaterThanOrEqual(10_000);
    const { broker, contract } = sluice.gateway;
    let records = 0n;
    for (const { policy } of contract.commands.values()) {
      for (let partition = 0; partition < broker!.partitionCount(policy.topic); partition++) {
        records += broker!.bounds(policy.topic, partition).end;
      }
    }
    expect(records).toBe(0n);
    expect((await sluice.rest.get('/operations')).body.operations).toEqual([]);
  });

  it('left no trace in the process', async () => {
    expect(defects).toEqual([]);
    expect(describePrototype()).toEqual(prototypeBefore);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    // It serves as before.
    const accepted = await sluice.rest.post('/v1/do', { text: 'good' });
    expect(accepted.status).toBe(202);
  });

  function send({ method, target, headers, body }: BadRequest): Promise<Answered> {
    const { promise, resolve, reject } = Promise.withResolvers<Answered>();
    const length = body === null ? {} : { 'content-length': String(body.length) };
    const outgoing = sendHttp({
      agent,
      host: '127.0.0.1',
      port: sluice.gateway.ports.http,
      method,
      path: target,
      headers: { ...headers, ...length },
    });
    outgoing.on('error', reject).on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject).on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          contentType: response.headers['content-type'] ?? '',
          text: Buffer.concat(chunks).toString(),
        }),
      );
    });
    outgoing.end(body ?? undefined);
    return promise;
  }

  function sendBytes(bytes: Buffer): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const chunks: Buffer[] = [];
    const socket = connect(sluice.gateway.ports.http, '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      // The whole answer is one write; a connection that may live on would keep the test waiting.
      socket.end();
    });
    socket.on('error', (error) => chunks.push(Buffer.from(String(error))));
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    return promise;
  }

  async function findWrongOfGrpc({ what, bytes, field }: BadMessage): Promise<object | null> {
    const { code, message, details } = await sluice.grpc.callWithBytes('Do', bytes);
    const isRight =
      code === 'INVALID_ARGUMENT' &&
      details?.info?.metadata['delivery'] === 'not_sent' &&
      (field === null || details.violations.some((violation) => violation.field === field));
    return isRight ? null : { what, bytes: bytes.toString('hex'), code, message, violations: details?.violations };
  }
});

/** What an answer lacks of what was promised; null for nothing. */
function findWrong(request: BadRequest, { status, contentType, text }: Answered): object | null {
  const shown = {
    ...request,
    body: request.body?.toString('latin1').slice(0, 300),
    answer: `${status} ${text.slice(0, 600)}`,
  };
  if (!request.statuses.includes(status) || contentType !== 'application/problem+json') return shown;
  const problem = JSON.parse(text) as { delivery?: string; errors?: readonly Record<string, string>[] };
  // Of a request about an operation nothing has to be said: it is no command.
  const isCommand = !request.target.startsWith('/operations');
  if (isCommand ? problem.delivery !== 'not_sent' : problem.delivery === 'unknown') return shown;
  const { place } = request;
  if (place === null) return null;
  const isNamed = (problem.errors ?? []).some((error) => fits(error[place.kind], place));
  return isNamed ? null : shown;
}

function fits(found: string | undefined, { kind, name }: Place): boolean {
  if (found === undefined || name === null) return found !== undefined;
  return kind === 'pointer' ? found.startsWith(name) : found === name;
}

function describePrototype(): string[] {
  return [Object.prototype, Array.prototype, Function.prototype].flatMap((prototype) =>
    Reflect.ownKeys(prototype).map(String),
  );
}
