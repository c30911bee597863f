import 'reflect-metadata';
import { Controller, type INestMicroservice, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, type MicroserviceOptions, RpcException, Transport } from '@nestjs/microservices';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { describeWithBoth } from '../support/real-parts.ts';

interface Request {
  readonly text?: string;
  readonly large?: string;
}

/** A stock NestJS controller: it knows a topic and nothing of Sluice. */
class MillController {
  grind(request: Request) {
    if (request.text === 'sold out') {
      throw new RpcException({ code: 'FAILED_PRECONDITION', message: 'no rye left', details: [{ sku: 'RYE' }] });
    }
    if (request.text === 'unsaid') throw new RpcException('just a sentence');
    if (request.text === 'bug') throw new TypeError('a secret of the worker');
    return { text: `ground ${request.text}`, large: request.large, small: 3 };
  }
}

/** Decorators by hand: types are stripped here, and nothing else. */
function makeModule(topic: string) {
  const { prototype } = MillController;
  MessagePattern(topic)(prototype, 'grind', Object.getOwnPropertyDescriptor(prototype, 'grind')!);
  Controller()(MillController);
  class MillModule {}
  Module({ controllers: [MillController] })(MillModule);
  return MillModule;
}

describeWithBoth('an unmodified NestJS microservice', ({ brokers }) => {
  let sluice: TestGateway;
  let service: INestMicroservice;

  beforeAll(async () => {
    sluice = await startTestGateway({ stack: 'servers' });
    service = await NestFactory.createMicroservice<MicroserviceOptions>(makeModule(sluice.topicOf('Do')), {
      transport: Transport.KAFKA,
      logger: false,
      options: {
        client: { brokers: [...brokers], logLevel: 0 },
        consumer: { groupId: `${sluice.place.namespace}.mill`, allowAutoTopicCreation: false },
        subscribe: { fromBeginning: true },
      },
    });
    await service.listen();
  });
  afterAll(async () => {
    await service?.close();
    await sluice.close();
  });

  it('answers a command', async () => {
    const request = { key: 'k', text: 'rye', large: '9007199254740993' };
    const rest = await sluice.rest.post('/v1/do', request);
    expect(rest.status, rest.text).toBe(200);
    expect(rest.body).toEqual({ text: 'ground rye', large: '9007199254740993', small: 3 });
    expect((await sluice.grpc.call('Do', request)).value).toEqual(rest.body);
  });

  it('answers a recorded one', async () => {
    const { body } = await sluice.rest.post('/v1/do', { text: 'later' }, { prefer: 'respond-async' });
    const status = await sluice.rest.follow(body.id);
    expect(status.body).toMatchObject({ state: 'succeeded', result: { text: 'ground later', small: 3 } });
  });

  it('refuses with an RpcException: its code, message and details reach the caller', async () => {
    const rest = await sluice.rest.post('/v1/do', { text: 'sold out' });
    expect(rest.status, rest.text).toBe(400);
    expect(rest.body).toMatchObject({
      code: 'COMMAND_FAILED',
      delivery: 'failed',
      workerError: { code: 'FAILED_PRECONDITION', message: 'no rye left', details: [{ sku: 'RYE' }] },
    });
    const grpc = await sluice.grpc.call('Do', { text: 'sold out' });
    expect(grpc.code).toBe('FAILED_PRECONDITION');
    expect(grpc.message).toBe('no rye left');
  });

  it('refuses with a sentence: UNKNOWN, and the sentence', async () => {
    const rest = await sluice.rest.post('/v1/do', { text: 'unsaid' });
    expect(rest.status).toBe(500);
    expect(rest.body).toMatchObject({
      delivery: 'failed',
      workerError: { code: 'UNKNOWN', message: 'just a sentence' },
    });
  });

  it('fails: UNKNOWN without what was thrown', async () => {
    const rest = await sluice.rest.post('/v1/do', { text: 'bug' });
    expect(rest.status).toBe(500);
    expect(rest.body).toMatchObject({ code: 'COMMAND_FAILED', delivery: 'failed', workerError: { code: 'UNKNOWN' } });
    expect(rest.text).not.toContain('secret');
    expect((await sluice.grpc.call('Do', { text: 'bug' })).code).toBe('UNKNOWN');
  });
});
