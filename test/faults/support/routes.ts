// Where the methods of `faults.v1.Work` are over REST.
const ROUTES: Readonly<Record<string, string>> = {
  Do: '/v1/do',
  DoOnce: '/v1/do-once',
  DoBadly: '/v1/do-badly',
  DoNowhere: '/v1/do-nowhere',
  DoOld: '/v1/do-named',
  DoNew: '/v1/do-named',
  DoGone: '/v1/do-gone',
  DoAdded: '/v1/do-added',
};

export function routeOf(method: string): string {
  const route = ROUTES[method];
  if (route === undefined) throw new Error(`no route of ${method}`);
  return route;
}
