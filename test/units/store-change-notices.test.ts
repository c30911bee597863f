import { describe, expect, it } from 'vitest';
import { ChangeNotices, readNotice, writeChanges } from '../../src/store/change-notices.ts';
import { newOperationId } from '../support/operations.ts';

describe('notices of changes', () => {
  const ids = Array.from({ length: 1_000 }, newOperationId);

  it('carry all ids, none of them longer than the server takes', () => {
    const payloads = writeChanges('boot1', ids);
    for (const payload of payloads) expect(Buffer.byteLength(payload)).toBeLessThan(7_900);
    const read = payloads.map(readNotice);
    expect(read.flatMap((notice) => (notice?.kind === 'changed' ? notice.ids : []))).toEqual(ids);
    expect(new Set(read.map((notice) => notice?.from))).toEqual(new Set(['boot1']));
    expect(payloads.length).toBeLessThan(10);
  });

  it('are none where nothing has changed or nobody else lives', () => {
    const notices = new ChangeNotices('boot1');
    expect(notices.payloads(ids)).toBeNull();
    notices.notifyOthers = true;
    expect(notices.payloads([])).toBeNull();
    expect(notices.payloads(ids)).toEqual(writeChanges('boot1', ids));
  });

  it('tell proofs from changes, and leave alone what they do not know', () => {
    const [[payload]] = new ChangeNotices('boot1').proof(7).params as [[string]];
    expect(readNotice(payload)).toEqual({ kind: 'proof', from: 'boot1', number: 7 });
    for (const foreign of ['', 'x', 'boot1 changed', 'boot1 other 1']) expect(readNotice(foreign)).toBeNull();
  });
});
