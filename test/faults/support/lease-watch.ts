// Who writes into which lease: a trigger in the database of a run keeps every write with the name that its connection
// gave, so that a gateway which settles under a lease that is another's shows, whatever it says of itself.
import { query } from '../../support/postgres-server.ts';

/** Before the first fault. */
export async function watchLeases(databaseUrl: string): Promise<void> {
  await query(
    databaseUrl,
    `create table lease_write (
       number bigint generated always as identity, writer text, topic text, partition int,
       old_owner text, owner text, old_fence bigint, fence bigint, old_offset bigint, next_offset bigint,
       at timestamptz default clock_timestamp());
     create function note_lease_write() returns trigger language plpgsql as $$ begin
       insert into public.lease_write (writer, topic, partition, old_owner, owner, old_fence, fence, old_offset, next_offset)
       values (current_setting('application_name'), new.topic, new.partition, old.owner, new.owner,
               old.fence, new.fence, old.next_offset, new.next_offset);
       return null;
     end $$;
     create trigger lease_write after update on sluice.lease for each row execute function note_lease_write()`,
  );
}

/** Sentences about leases that two wrote, and fences and positions that went back; none where all is well. */
export async function findLeaseTroubles(databaseUrl: string): Promise<string[]> {
  const { rows } = await query(
    databaseUrl,
    `select format('the lease of partition %s, owned by %s, was written by %s', partition, owner, string_agg(distinct writer, ', ')) as trouble
       from lease_write where owner = old_owner and fence = old_fence
       group by topic, partition, owner, fence having count(distinct writer) > 1
     union all
     select format('the fence of partition %s went from %s to %s', partition, old_fence, fence)
       from lease_write where fence < old_fence
     union all
     select format('the position of partition %s went from %s to %s', partition, old_offset, next_offset)
       from lease_write where next_offset < old_offset`,
  );
  return rows.map(({ trouble }) => String(trouble));
}
