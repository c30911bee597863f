const UNIT_BYTES: Readonly<Record<string, number>> = { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** `65536`, `64KiB`, `1MiB`, `2GiB` in bytes; null for anything else. */
export function parseBytes(text: string): number | null {
  const match = /^([0-9]{1,12})(KiB|MiB|GiB|)$/.exec(text);
  return match ? Number(match[1]) * UNIT_BYTES[match[2]!]! : null;
}

/** The shortest text that `parseBytes` reads as the same number. */
export function formatBytes(sizeBytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const unitBytes = UNIT_BYTES[unit]!;
    if (sizeBytes > 0 && sizeBytes % unitBytes === 0) return `${sizeBytes / unitBytes}${unit}`;
  }
  return String(sizeBytes);
}
