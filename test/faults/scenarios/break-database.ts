// The way to the database breaks, and not the database: connections cut, also in the middle of a transaction, answers that
// come late, and half-open sockets on which nothing comes at all. By toxiproxy, and through pgbouncer in transaction mode.
import { setTimeout as pause } from 'node:timers/promises';
import { type Cluster, type ClusterPlan, WORKERS_OF_BOTH } from '../support/cluster.ts';
import type { Load } from '../support/load.ts';
import { findMissingPgbouncer, startPgbouncer } from '../support/pgbouncer.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { findMissingToxiproxy, type ProxyServer, startProxy } from '../support/toxiproxy.ts';
import { runUnderLoad } from '../support/under-load.ts';

const METHODS = ['Do', 'DoOnce'];

export const breakConnections: Scenario = {
  name: 'break-connections',
  title: "gateways' connections to PostgreSQL cut in mid-transaction, slowed, left half-open (toxiproxy)",
  missing: findMissingToxiproxy,
  async run(stage: Stage): Promise<Outcome> {
    const proxy = await startProxy(new URL(stage.servers.postgres.url).host);
    try {
      return await runUnderLoad(stage, {
        cluster: clusterOf(stage, (databaseUrl) => replaceHost(databaseUrl, proxy.address)),
        load: { methods: METHODS, inFlight: 32, callsPerSecond: 80 },
        fault: (cluster, load) => putThrough(stage, proxy, cluster, load),
      });
    } finally {
      await proxy.stop();
    }
  },
};

export const poolConnections: Scenario = {
  name: 'pool-connections',
  title: 'through pgbouncer in transaction mode, which is killed, and a gateway with it',
  missing: findMissingPgbouncer,
  async run(stage: Stage): Promise<Outcome> {
    const short = stage.form === 'short';
    const kills = short ? 1 : 5;
    const pooler = await startPgbouncer(stage.servers.postgres.url);
    try {
      return await runUnderLoad(stage, {
        cluster: { ...clusterOf(stage, (databaseUrl) => pooler.urlOf(databaseUrl)), mayBeDegraded: true },
        load: { methods: METHODS, inFlight: 32, callsPerSecond: 80 },
        async fault({ gateways }, load) {
          for (let kill = 0; kill < kills; kill++) {
            await pause(short ? 2_000 : 5_000);
            stage.say(`kill -9 of pgbouncer, ${load.calls.length} calls so far`);
            await pooler.restart();
            await pause(short ? 1_000 : 3_000);
            const victim = gateways[kill % gateways.length]!;
            stage.say(`kill -9 of ${victim.name}`);
            await victim.kill();
            await victim.start();
            await victim.waitUntilReady();
          }
          await pause(1_000);
          return { faults: `${kills} kills of pgbouncer, ${kills} of a gateway` };
        },
      });
    } finally {
      await pooler.stop();
    }
  },
};

function clusterOf({ form }: Stage, gatewayDatabaseUrl: (databaseUrl: string) => string): ClusterPlan {
  return {
    gateways: 2,
    workers: WORKERS_OF_BOTH,
    leaseMs: form === 'short' ? 4_000 : 8_000,
    config: { store: { query_timeout: '3s', connect_timeout: '2s' } },
    gatewayDatabaseUrl,
  };
}

async function putThrough({ form, say }: Stage, proxy: ProxyServer, { gateways }: Cluster, load: Load) {
  const spellMs = form === 'short' ? 1_500 : 10_000;
  const tell = (what: string) => say(`${what}, ${load.calls.length} calls so far`);
  const rest = () => pause(spellMs);
  await rest();
  tell('connections are cut after so many bytes: in the middle of a transaction');
  await proxy.poison({ type: 'limit_data', stream: 'upstream', attributes: { bytes: 20_000 } });
  await rest();
  await proxy.heal();
  tell('answers are lost: the statement is executed and nobody hears of it');
  await proxy.poison({ type: 'limit_data', stream: 'downstream', attributes: { bytes: 5_000 } });
  await rest();
  await proxy.heal();
  tell('every statement takes 300 ms longer');
  await proxy.poison({ type: 'latency', stream: 'downstream', attributes: { latency: 300, jitter: 100 } });
  await rest();
  await proxy.heal();
  tell('half-open: connections stand, and nothing comes through');
  await proxy.poison({ type: 'timeout', stream: 'downstream', attributes: { timeout: 0 } });
  await pause(form === 'short' ? 4_000 : 15_000);
  await proxy.heal();
  tell('everything is cut at once');
  await proxy.cut();
  await rest();
  await proxy.open();
  await Promise.all(gateways.map((gateway) => gateway.waitUntilReady({ timeoutMs: 60_000 })));
  tell('it is whole again');
  await rest();
  return { faults: 'cut in mid-request and mid-answer, 300 ms late, half-open, all cut' };
}

function replaceHost(databaseUrl: string, address: string): string {
  const url = new URL(databaseUrl);
  url.host = address;
  return url.href;
}
