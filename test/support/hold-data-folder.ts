// A process of its own that opens the embedded store in the folder given as its argument, inserts one operation, prints
// the id and holds the folder until it is killed, or until the process that started it is gone.
import { createStore } from '../../src/store/store.ts';
import { aNewOperation, TEST_STORE_CONFIG, testStoreDeps } from './store-parts.ts';

process.stdin.resume().once('end', () => process.exit());
const store = await createStore({ ...TEST_STORE_CONFIG, dataDir: process.argv[2] as string }, testStoreDeps);
const operation = aNewOperation();
await store.insert([operation]);
console.log(operation.id);
