import { describe, expect, it } from 'vitest';
import { TopicRefusedError } from '../../src/channel/kafka-catalog.ts';
import { startSendOnceFound } from '../../src/channel/kafka-sender.ts';

function startWith(lookUp: Promise<unknown>) {
  const sends = { begun: 0, withdrawn: 0 };
  const attempt = startSendOnceFound(lookUp, () => {
    sends.begun += 1;
    return {
      outcome: Promise.resolve(7n),
      withdraw: () => {
        sends.withdrawn += 1;
        return false;
      },
    };
  });
  return { attempt, sends };
}

describe('a send to a topic that was not there', () => {
  it('goes out once the topic is found, and is taken back as any other after that', async () => {
    const { attempt, sends } = startWith(Promise.resolve());
    expect(await attempt.outcome).toBe(7n);
    expect([attempt.withdraw(), sends]).toEqual([false, { begun: 1, withdrawn: 1 }]);
  });

  it('never goes out once it was taken back', async () => {
    const asked = Promise.withResolvers<void>();
    const { attempt, sends } = startWith(asked.promise);
    expect(attempt.withdraw()).toBe(true);
    asked.resolve();
    expect(await attempt.outcome).toMatchObject({ certainlyNotSent: true });
    expect(sends.begun).toBe(0);
  });

  it.each([
    [new TopicRefusedError('unknown_topic', 'there is no topic t', 0, null), 'unknown_topic', 'there is no topic t'],
    [new TopicRefusedError('not_authorized', 'may not use t', 0, null), 'not_authorized', 'may not use t'],
    [Object.assign(new Error('closed'), { name: 'KafkaJSConnectionError' }), 'unreachable', 'closed'],
  ])('failed unsent where it is not found: %s', async (error, problem, message) => {
    const { attempt, sends } = startWith(Promise.reject(error));
    const failure = { problem, message, certainlyNotSent: true, isRecordAtFault: false };
    expect(await attempt.outcome).toEqual(failure);
    expect(sends.begun).toBe(0);
  });
});
