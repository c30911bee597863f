/** openapi/orders.json: the document of the example contract, so that changes of it are seen in review. */
import { fileURLToPath } from 'node:url';
import { loadContract } from '../src/contract/contract.ts';
import { describeContract } from '../src/contract/openapi.ts';

const EXAMPLE = fileURLToPath(new URL('../examples/orders/proto', import.meta.url));

export async function renderExampleOpenApi(): Promise<string> {
  const contract = await loadContract({ sources: [EXAMPLE] });
  return `${JSON.stringify(describeContract(contract), null, 2)}\n`;
}
