/** docs/errors.md, made from the closed list in `src/runtime/failure.ts`. */
import { FAILURES, HTTP_STATUS_OF_GRPC_CODE, typeUriOf } from '../src/runtime/failure.ts';

const intro = `<!-- Made by \`npm run generate\` from src/runtime/failure.ts. Do not edit. -->

# Errors

Over REST an error is a problem (\`application/problem+json\`, RFC 9457), over gRPC a \`google.rpc.Status\` with \`ErrorInfo\`,
and \`RetryInfo\` or \`BadRequest\` where they apply. Both carry one code of the closed list below: \`code\` in the problem,
\`reason\` in the \`ErrorInfo\`, whose domain is \`sluice\`. Codes are never reused and their meaning does not change.

\`\`\`json
{
  "type": "${typeUriOf('REQUEST_INVALID')}",
  "title": "${FAILURES.REQUEST_INVALID.title}",
  "status": 400,
  "code": "REQUEST_INVALID",
  "detail": "…",
  "delivery": "not_sent",
  "errors": [{ "detail": "expected a whole number from -2147483648 to 2147483647", "pointer": "#/items/0/quantity" }]
}
\`\`\`

## What became of the command

\`delivery\` speaks of the request that is answered. Every error on a command has it:

| \`delivery\` | Means | Retry |
|---|---|---|
| \`not_sent\` | no worker will see this command | safe |
| \`unknown\` | it may have run, or may yet run; follow the operation if there is a link to one | only with the same \`Idempotency-Key\`, or where running it twice does no harm |
| \`failed\` | the worker answered with an error | as the error says |

Of a call with an \`Idempotency-Key\` \`not_sent\` speaks of this request alone: an earlier one with the same key may have been carried
out. The message says so; retry with the same key only.

A request to Sluice's own routes (\`/operations/…\`, \`google.longrunning.Operations\`) that is refused for what it is has sent
nothing: \`not_sent\`. That includes an id that is not known. Where the answer says nothing of the operation's command, \`delivery\`
is absent: on \`OPERATION_GONE\`, and on an error that has a 5xx in the list below and names no operation.

## The list
`;

const workers = `## Errors of workers

\`COMMAND_FAILED\` carries the gRPC code that the worker gave (\`UNKNOWN\` where it gave none), and answers with this HTTP status:

| gRPC code | HTTP |
|---|---|`;

export function renderErrors(): string {
  const rows = Object.entries(FAILURES).map(
    ([code, kind]) => `| \`${code}\` | ${kind.httpStatus} | \`${kind.grpcCode}\` | ${kind.title}. ${kind.doc} |`,
  );
  const codes = Object.entries(HTTP_STATUS_OF_GRPC_CODE).filter(([code]) => code !== 'OK');
  return [
    intro,
    '| Code | HTTP | gRPC | Means |',
    '|---|---|---|---|',
    ...rows,
    '',
    workers,
    ...codes.map(([code, status]) => `| \`${code}\` | ${status} |`),
    '',
  ].join('\n');
}
