#!/usr/bin/env node
// Plain and old JavaScript on purpose: it must run on any Node to say that the Node is too old.
import { existsSync } from 'node:fs';

const [major] = process.versions.node.split('.').map(Number);
if (major < 24) {
  console.error(
    `sluice needs Node 24 or newer, and this is Node ${process.versions.node} (${process.execPath}). ` +
      'Run it through npm (npm run sluice --, npm start) where the node of the project comes first, or install a newer Node.',
  );
  process.exit(1);
}

// A checkout runs what it holds, also where an older build lies beside it; the package and the image have no src.
const source = new URL('../src/main.ts', import.meta.url);
const compiled = new URL('../dist/main.js', import.meta.url);
const { main } = await import((existsSync(source) ? source : compiled).href);
await main(process.argv.slice(2));
