/**
 * Parameters as they go over the wire. The driver would do so too, but slowly where it matters: batches are columns of
 * hundreds of values, and it writes each byte string as hex into one text, and searches each value for quotes twice.
 */

const BYTEA_OID = 17;
/** Of an array in PostgreSQL's binary form: dimensions, whether there are NULLs, element type, length, lower bound. */
const HEAD_BYTES = 20;
const NEEDS_ESCAPE = /["\\]/;

export function encodeParameters(params: readonly unknown[]): unknown[] {
  return params.map((param) => (Array.isArray(param) ? encodeArray(param) : param));
}

function encodeArray(values: readonly unknown[]): string | Buffer {
  const first = values.find((value) => value !== null);
  return first instanceof Uint8Array
    ? encodeByteStrings(values as readonly (Uint8Array | null)[])
    : encodeTexts(values);
}

/** A Buffer is sent as a parameter in binary form. */
function encodeByteStrings(values: readonly (Uint8Array | null)[]): Buffer {
  let sizeBytes = HEAD_BYTES;
  for (const value of values) sizeBytes += 4 + (value?.byteLength ?? 0);
  const buffer = Buffer.allocUnsafe(sizeBytes);
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(1, 4);
  buffer.writeInt32BE(BYTEA_OID, 8);
  buffer.writeInt32BE(values.length, 12);
  buffer.writeInt32BE(1, 16);
  let offset = HEAD_BYTES;
  for (const value of values) {
    buffer.writeInt32BE(value?.byteLength ?? -1, offset);
    offset += 4;
    if (value === null) continue;
    buffer.set(value, offset);
    offset += value.byteLength;
  }
  return buffer;
}

function encodeTexts(values: readonly unknown[]): string {
  let text = '{';
  for (let index = 0; index < values.length; index++) {
    if (index > 0) text += ',';
    const value = values[index];
    if (value === null) text += 'NULL';
    else if (typeof value === 'string') text += quote(value);
    else text += String(value);
  }
  return `${text}}`;
}

/** Quoted always: an empty element, the word NULL, and commas mean something else without. */
function quote(text: string): string {
  return NEEDS_ESCAPE.test(text) ? `"${text.replaceAll(/["\\]/g, '\\$&')}"` : `"${text}"`;
}
