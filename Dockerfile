# The gateway: `docker build -t sluice .`; the demo's workers: `docker build -t sluice-workers --target workers .`

# Compiles the gateway and the example contract. Everything that only a build needs stays here.
FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
COPY worker/package.json worker/
RUN npm ci
COPY . .
RUN npm run build \
  && SLUICE_CONTRACT=examples/orders/proto node bin/sluice.js compile -o contract.binpb

# What runs the gateway needs, and no more: no compiler, no buf, no worker.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY worker/package.json worker/
RUN npm ci --omit=dev --omit=optional --workspaces=false --include-workspace-root

# The demo's three services, against Kafka.
FROM build AS workers
USER node
CMD ["node", "examples/orders/workers.ts"]

FROM node:24-slim AS gateway
ENV NODE_ENV=production \
    HTTP_HOST=0.0.0.0 \
    GRPC_HOST=0.0.0.0 \
    MANAGEMENT_HOST=0.0.0.0 \
    DATA_DIR=/data \
    SLUICE_CONTRACT=/app/contract.binpb
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /build/package.json /build/LICENSE ./
COPY --from=build /build/bin bin
COPY --from=build /build/proto proto
COPY --from=build /build/dist dist
# Another contract is mounted over it, or named by SLUICE_CONTRACT: compiled with `sluice compile`, as there is no buf here.
COPY --from=build /build/contract.binpb contract.binpb
RUN mkdir /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 8080 50051 8081
# The image binds all addresses, so whoever runs it says who may call: SLUICE_AUTH=none lets everybody in.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.MANAGEMENT_PORT || 8081}/health/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Node itself is the process that gets SIGTERM: no shell, no npm in between.
CMD ["node", "bin/sluice.js", "start"]
