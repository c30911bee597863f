// The floor for REST: what Hono, @hono/node-server and kafkajs cost with nothing between them.
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { connectCalls, stopOnSignal } from './kafka-calls.ts';

const call = await connectCalls();
const app = new Hono();

app.post('/echo', async (context) => {
  const reply = await call(Buffer.from(await context.req.text()));
  return context.body(reply.toString(), 200, { 'content-type': 'application/json' });
});

serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(process.env['HTTP_PORT']) });
stopOnSignal();
