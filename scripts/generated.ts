/** Every committed file that is made from another one, and what it should hold now. */
import { fileURLToPath } from 'node:url';
import { renderConfiguration } from './render-configuration.ts';
import { renderErrors } from './render-errors.ts';
import { renderExampleOpenApi } from './render-openapi.ts';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** By path from the root of the repository. */
export const GENERATED: Readonly<Record<string, () => string | Promise<string>>> = Object.freeze({
  'docs/configuration.md': renderConfiguration,
  'docs/errors.md': renderErrors,
  'openapi/orders.json': renderExampleOpenApi,
});
