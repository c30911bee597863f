/** Above it the runtime's own encoder is quicker than a loop. */
const MAX_UNITS = 128;

/**
 * Writes short ASCII text as UTF-8. False for any other text: then nothing of what stands there now counts, and the text
 * takes another way. A call writes some thirty such texts (ids, times, header names), and a call into the runtime for each
 * would cost more than the text does.
 */
export function writeShortAscii(buffer: Uint8Array, start: number, text: string): boolean {
  if (text.length > MAX_UNITS) return false;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f) return false;
    buffer[start + index] = unit;
  }
  return true;
}

/** Bytes of the text in UTF-8. */
export function utf8Length(text: string): number {
  if (text.length > MAX_UNITS) return Buffer.byteLength(text);
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) > 0x7f) return Buffer.byteLength(text);
  }
  return text.length;
}
