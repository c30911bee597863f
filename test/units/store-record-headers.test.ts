import { describe, expect, it } from 'vitest';
import type { RecordHeaders } from '../../src/operations/channel-ports.ts';
import { decodeRecordHeaders, encodeRecordHeaders } from '../../src/store/record-headers.ts';

const roundTrip = (headers: RecordHeaders) => decodeRecordHeaders(encodeRecordHeaders(headers));

describe('record headers in the row', () => {
  it('keep order, names that stand twice, and text apart from bytes', () => {
    const headers: RecordHeaders = [
      ['kafka_replyPartition', '7'],
      ['ce_id', 'x'],
      ['kafka_replyPartition', new Uint8Array([0, 0, 0, 7])],
    ];
    expect(roundTrip(headers)).toEqual(headers);
  });

  it('keep empty names and values, NUL, other scripts and bytes that are no UTF-8', () => {
    const headers: RecordHeaders = [
      ['', ''],
      ['empty', new Uint8Array()],
      ['nul', 'a\u0000b'],
      ['größe-尺寸', 'ünï'],
      ['binary', new Uint8Array([0xff, 0xfe, 0x00])],
    ];
    expect(roundTrip(headers)).toEqual(headers);
  });

  it('may be none', () => {
    expect(encodeRecordHeaders([])).toHaveLength(0);
    expect(roundTrip([])).toEqual([]);
  });

  it('give back bytes of their own, not a view of the row', () => {
    const encoded = encodeRecordHeaders([['a', new Uint8Array([1, 2])]]);
    const decoded = decodeRecordHeaders(encoded);
    encoded.fill(0);
    expect(decoded).toEqual([['a', new Uint8Array([1, 2])]]);
  });

  it('refuse bytes that were cut off or are of another form', () => {
    const encoded = encodeRecordHeaders([['name', 'value']]);
    for (let length = 1; length < encoded.length; length++) {
      expect(() => decodeRecordHeaders(encoded.subarray(0, length))).toThrow(RangeError);
    }
    expect(() => decodeRecordHeaders(new Uint8Array([9, 0, 0, 0, 0, 0, 0, 0, 0]))).toThrow(/unknown kind 9/);
  });
});
