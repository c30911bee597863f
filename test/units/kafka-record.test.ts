import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c, quickenChecksums } from '../../src/channel/kafka-crc.ts';
import { encodeRecord, quickenRecords } from '../../src/channel/kafka-record.ts';

const require = createRequire(import.meta.url);
const MODULE = require.resolve('kafkajs/src/protocol/recordBatch/record/v0/index.js');
const original = require(MODULE);

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const headerValue = fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), bytes);
const headers = fc.dictionary(
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.oneof(headerValue, fc.array(headerValue, { maxLength: 4 })),
);

describe('a record of ours', () => {
  it('has the very bytes that kafkajs gives it', () => {
    fc.assert(
      fc.property(
        fc.nat(10_000),
        fc.nat(100_000),
        fc.option(bytes),
        fc.option(bytes),
        headers,
        (offsetDelta, timestampDelta, key, value, all) => {
          const parts = { offsetDelta, timestampDelta, key, value, headers: all };
          expect(encodeRecord(parts)?.buffer.equals(original(parts).buffer)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is as large as it is: lengths of one to four bytes', () => {
    for (const size of [0, 1, 40, 63, 64, 8100, 8192, 1_048_000]) {
      const parts = { key: Buffer.from('k'), value: Buffer.alloc(size, 7), headers: {} };
      expect(encodeRecord(parts)?.buffer.equals(original(parts).buffer)).toBe(true);
    }
  });

  it('is left to kafkajs where a header is neither text nor bytes', () => {
    expect(encodeRecord({ headers: { a: null } })).toBeNull();
    expect(encodeRecord({ timestampDelta: -1 })).toBeNull();
  });

  it('takes the place of kafkajs once, before its first send', () => {
    expect(quickenRecords(require)).toBe(true);
    expect(quickenRecords(require)).toBe(true);
    const parts = { key: null, value: Buffer.from('v'), headers: { a: 'b', c: ['d', Buffer.from([0, 255])] } };
    expect(require(MODULE)(parts).buffer.equals(original(parts).buffer)).toBe(true);
    expect(require(MODULE)).not.toBe(original);
  });

  it('leaves a kafkajs alone that it does not know', () => {
    const unknown = Object.assign(() => ({}), { resolve: () => '/nowhere', cache: {} });
    expect(quickenRecords(unknown as never)).toBe(false);
  });
});

describe('the checksum of a batch', () => {
  const path = require.resolve('kafkajs/src/protocol/recordBatch/crc32C/index.js');
  const kafkajs = require(path);

  it('is that of RFC 3720, and of kafkajs, whatever the length', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (data) => {
        expect(crc32c(data)).toBe(kafkajs(Buffer.from(data)));
      }),
      { numRuns: 500 },
    );
  });

  it('takes the place of kafkajs once, before its first send', () => {
    expect(quickenChecksums(require)).toBe(true);
    expect(quickenChecksums(require)).toBe(true);
    expect(require(path)).toBe(crc32c);
  });
});
