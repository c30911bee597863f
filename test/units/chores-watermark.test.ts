import { beforeEach, describe, expect, it } from 'vitest';
import { Watermark } from '../../src/chores/watermark.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeLog, FakeRows, forever } from './chores-support.ts';

describe('the watermark of settled replies', () => {
  let rows: FakeRows;
  let log: FakeLog;
  let watermark: Watermark;

  beforeEach(() => {
    rows = new FakeRows();
    log = new FakeLog();
    watermark = new Watermark({ everyMs: 1000 }, { due: rows, log, clock: new FakeClock() });
  });

  const run = () => watermark.run(forever);
  const readTo = (partition: number, offset: bigint) => rows.positions.set(partition, offset);

  it('is reached in one look on an idle bus', async () => {
    await run();
    expect(watermark.reached?.databaseMs).toBe(rows.databaseMs);
  });

  it('waits for a reply that is on the log and not settled', async () => {
    log.append();
    await run();
    await run();
    expect(watermark.reached).toBeNull();
    readTo(0, 1n);
    await run();
    expect(watermark.reached).not.toBeNull();
  });

  it('covers a reply that came just before its time was taken: the ends are asked for after it', async () => {
    readTo(1, 0n);
    log.ends.set(1, 0n);
    rows.nowMs = async () => {
      log.append(1);
      return rows.databaseMs;
    };
    await run();
    expect(watermark.reached).toBeNull();
    // Its reader sends it on to its home partition, where nobody has read it yet.
    log.append(0);
    readTo(1, 1n);
    await run();
    expect(watermark.reached).toBeNull();
  });

  it('says the time from before the ends, however late they are reached', async () => {
    log.append();
    await run();
    const proposedMs = rows.databaseMs;
    rows.databaseMs += 60_000;
    readTo(0, 1n);
    await run();
    expect(watermark.reached?.databaseMs).toBe(proposedMs);
  });

  it('is not reached while a partition has no reader', async () => {
    log.ends.set(1, 0n);
    await run();
    expect(watermark.reached).toBeNull();
    readTo(1, 0n);
    await run();
    expect(watermark.reached).not.toBeNull();
  });

  it('is not reached while one of many partitions is behind', async () => {
    for (const partition of [1, 2]) log.append(partition);
    readTo(1, 1n);
    readTo(2, 0n);
    await run();
    expect(watermark.reached).toBeNull();
  });

  it('is reached under steady traffic, when the readers are always one reply behind', async () => {
    for (let look = 0; look < 4; look += 1) {
      log.append();
      readTo(0, (log.ends.get(0) as bigint) - 1n);
      await run();
    }
    expect(watermark.reached).not.toBeNull();
  });

  it('covers a reply that was sent on to its home partition after the ends were read', async () => {
    readTo(1, 0n);
    log.append(1);
    await run();
    // The reader of partition 1 sends it on to partition 0, past the end that was read there, and only then goes on.
    log.append(0);
    readTo(1, 1n);
    await run();
    expect(watermark.reached).toBeNull();
    readTo(0, 1n);
    await run();
    expect(watermark.reached).not.toBeNull();
  });

  it('stands still while Kafka cannot be asked, and keeps what it has reached', async () => {
    await run();
    const reached = watermark.reached;
    rows.databaseMs += 1000;
    log.isAway = true;
    await expect(run()).rejects.toThrow('Kafka is away');
    expect(watermark.reached).toEqual(reached);
  });

  it('is not reached where the topic or the end of a partition is not known', async () => {
    log.partitions = async () => [];
    await expect(run()).rejects.toThrow('not known');
    log.partitions = async () => [0, 1];
    readTo(1, 0n);
    await expect(run()).rejects.toThrow('not known');
    expect(watermark.reached).toBeNull();
  });

  it('begins anew where the reply topic was made anew', async () => {
    log.ends.set(0, 500n);
    await run();
    log.ends.set(0, 2n);
    await run();
    readTo(0, 2n);
    await run();
    expect(watermark.reached).not.toBeNull();
  });

  it('goes on from one time to the next', async () => {
    await run();
    rows.databaseMs += 5000;
    await run();
    expect(watermark.reached?.databaseMs).toBe(rows.databaseMs);
  });
});
