import type { RecordHeaders } from '../operations/channel-ports.ts';
import { utf8Length, writeShortAscii } from '../runtime/short-text.ts';

/**
 * Headers of a command record as one byte string that keeps their order, names that stand twice, and binary values, so
 * that the record is published from its row exactly as it would have been at once. One header after the other:
 * a byte for the value's kind, length of name, name (UTF-8), length of value, value. Lengths are 32 bits, big-endian.
 */
const KIND_TEXT = 1;
const KIND_BYTES = 2;
const FIXED_BYTES = 9;

export function encodeRecordHeaders(headers: RecordHeaders): Uint8Array {
  let sizeBytes = 0;
  for (const [name, value] of headers) sizeBytes += FIXED_BYTES + lengthOf(name) + lengthOf(value);
  const buffer = Buffer.allocUnsafe(sizeBytes);
  let offset = 0;
  for (const [name, value] of headers) {
    offset = buffer.writeUInt8(typeof value === 'string' ? KIND_TEXT : KIND_BYTES, offset);
    offset = writeBlock(buffer, name, offset);
    offset = writeBlock(buffer, value, offset);
  }
  return buffer;
}

function lengthOf(value: string | Uint8Array): number {
  return typeof value === 'string' ? utf8Length(value) : value.byteLength;
}

/** Returns where the block ends. */
function writeBlock(buffer: Buffer, value: string | Uint8Array, offset: number): number {
  const start = offset + 4;
  if (typeof value === 'string') {
    const sizeBytes = writeShortAscii(buffer, start, value) ? value.length : buffer.write(value, start);
    buffer.writeUInt32BE(sizeBytes, offset);
    return start + sizeBytes;
  }
  buffer.set(value, start);
  buffer.writeUInt32BE(value.byteLength, offset);
  return start + value.byteLength;
}

/** Throws where the bytes are not what `encodeRecordHeaders` made. */
export function decodeRecordHeaders(bytes: Uint8Array): RecordHeaders {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headers: [string, string | Uint8Array][] = [];
  let offset = 0;
  while (offset < buffer.length) {
    const kind = buffer.readUInt8(offset);
    const name = takeBlock(buffer, offset + 1);
    const value = takeBlock(buffer, name.end);
    if (kind !== KIND_TEXT && kind !== KIND_BYTES)
      throw new RangeError(`record headers: unknown kind ${kind} at byte ${offset}`);
    headers.push([name.bytes.toString(), kind === KIND_TEXT ? value.bytes.toString() : new Uint8Array(value.bytes)]);
    offset = value.end;
  }
  return headers;
}

function takeBlock(buffer: Buffer, offset: number): { bytes: Buffer; end: number } {
  const start = offset + 4;
  const end = start + buffer.readUInt32BE(offset);
  if (end > buffer.length) throw new RangeError(`record headers: cut off at byte ${buffer.length} of ${end}`);
  return { bytes: buffer.subarray(start, end), end };
}
