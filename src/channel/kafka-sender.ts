import type { Message, Producer, RecordMetadata } from 'kafkajs';
import { TopicRefusedError } from './kafka-catalog.ts';
import { judgeSendFailure, type SendFailure } from './kafka-errors.ts';
import type { SizedRecord } from './record-size.ts';

/** One `send()` that is under way. */
export interface SendAttempt {
  /** Offset of the first record, or why there is none. Never rejects. */
  readonly outcome: Promise<bigint | SendFailure>;
  /**
   * Takes the request back. True where kafkajs had not begun to encode it: then it never will be sent. False where it may
   * be on its way already.
   */
  withdraw(): boolean;
}

/**
 * Sends records to one topic-partition, once. kafkajs's own retries are off: between two of them a leader may change, and
 * then it drops the records and reports success. Its parser of answers looks at the first partition's error alone, so a
 * request holds one topic-partition, and the answer must cover it: an empty answer is a failure.
 *
 * kafkajs does not say whether a request was handed to a socket. But it encodes a request when the connection stands and
 * just before it writes, and it reads a message's `timestamp` then and at no other time: the getter on the first message
 * tells the moment, and can still stop it.
 */
export function startSend(
  producer: Pick<Producer, 'send'>,
  topic: string,
  partition: number,
  records: readonly SizedRecord[],
  requestTimeoutMs: number,
): SendAttempt {
  const state = { isEncoded: false, isWithdrawn: false };
  const messages = records.map((record) => toMessage(record, partition));
  Object.defineProperty(messages[0], 'timestamp', {
    enumerable: true,
    get() {
      if (state.isWithdrawn) throw new Error('the send was withdrawn');
      state.isEncoded = true;
      return undefined;
    },
  });
  return {
    outcome: producer.send({ topic, messages, acks: -1, timeout: requestTimeoutMs }).then(
      (metadata) => readAnswer(metadata, topic, partition, state.isEncoded),
      (error) => judgeSendFailure(error, state.isEncoded),
    ),
    withdraw: () => {
      state.isWithdrawn = !state.isEncoded;
      return state.isWithdrawn;
    },
  };
}

/**
 * A send to a topic that was not there when last asked about: begun if it is found now, else failed unsent. kafkajs does not
 * hear of it before that, as a topic that is not there fails its producer's sends to all others.
 */
export function startSendOnceFound(lookUp: Promise<unknown>, start: () => SendAttempt): SendAttempt {
  let started: SendAttempt | null = null;
  let isWithdrawn = false;
  const begin = () => {
    if (isWithdrawn) return unsent(new Error('the send was withdrawn'));
    started = start();
    return started.outcome;
  };
  return {
    outcome: lookUp.then(begin, unsent),
    withdraw: () => {
      isWithdrawn = started === null || started.withdraw();
      return isWithdrawn;
    },
  };
}

function unsent(error: unknown): SendFailure {
  const failure = judgeSendFailure(error, false);
  return error instanceof TopicRefusedError ? { ...failure, problem: error.problem, message: error.message } : failure;
}

function readAnswer(
  metadata: RecordMetadata[],
  topic: string,
  partition: number,
  isEncoded: boolean,
): bigint | SendFailure {
  const answer = metadata.find((each) => each.topicName === topic && each.partition === partition);
  const offset = BigInt(answer?.baseOffset ?? answer?.offset ?? -1);
  if (answer !== undefined && answer.errorCode === 0 && offset >= 0n) return offset;
  return {
    // kafkajs leaves out what its metadata does not know: fresh metadata may tell that it is gone.
    problem: metadata.length === 0 ? 'unknown_topic' : 'other',
    message: `the broker's answer does not cover partition ${partition} of ${topic}`,
    certainlyNotSent: !isEncoded,
    isRecordAtFault: false,
  };
}

function toMessage(record: SizedRecord, partition: number): Message {
  // Without a prototype: a header may have any name. Equal names become a list, which keeps their order.
  const headers: Record<string, string | Buffer | (string | Buffer)[]> = Object.create(null);
  for (const [name, value] of record.headers) {
    const part = typeof value === 'string' ? value : toBuffer(value);
    const before = headers[name];
    if (before === undefined) headers[name] = part;
    else if (Array.isArray(before)) before.push(part);
    else headers[name] = [before, part];
  }
  const { key, value } = record;
  return { partition, key: key && toBuffer(key), value: value && toBuffer(value), headers };
}

/** kafkajs turns whatever is no Buffer into text. */
function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
