# Warder in a container: one static binary, nothing else, as nobody.
#
#   docker build -t warder --build-arg VERSION=$(git describe --tags --always) .
#   docker run -d --name warder -p 127.0.0.1:8420:8420 -v warder:/data warder
#   docker logs warder       # the link that sets it up
#
# A file of settings is mounted and named by WARDER_CONFIG.

FROM node:22-bookworm-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm install --no-save --no-audit --no-fund --loglevel=error
COPY web/ ./
COPY internal/api/testdata/openapi.json /src/internal/api/testdata/openapi.json
COPY internal/web/ /src/internal/web/
RUN npm run --silent build

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=web /src/internal/web/dist/ internal/web/dist/
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/warder ./cmd/warder
RUN mkdir -m 700 /out/data && cp /usr/local/go/lib/time/zoneinfo.zip /etc/ssl/certs/ca-certificates.crt /out/

FROM scratch
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/zoneinfo.zip /zoneinfo.zip
COPY --from=build /out/warder /warder
COPY --from=build --chown=65532:65532 /out/data /data
ENV ZONEINFO=/zoneinfo.zip WARDER_DATA=/data WARDER_LISTEN=0.0.0.0:8420
USER 65532:65532
VOLUME /data
EXPOSE 8420
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["/warder", "status"]
ENTRYPOINT ["/warder"]
CMD ["serve"]
