# One static binary on an image without a shell. The Go version is the first with the fix of
# CVE-2026-111943, and has those of CVE-2026-97032 and CVE-2026-78667.
#
# The server listens on all addresses of the container, so it needs an API key, made once:
#
#   docker run --rm -v nearby:/data nearby keys create --scope admin >admin.key
#   docker run --detach -v nearby:/data -p 127.0.0.1:8080:8080 nearby
FROM golang:1.26.10 AS build
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /nearby ./cmd/nearby \
 && mkdir /data

FROM gcr.io/distroless/static-debian12:nonroot
LABEL org.opencontainers.image.title="nearby" \
      org.opencontainers.image.description="Exact proximity search over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /nearby /nearby
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
VOLUME /data
EXPOSE 8080
ENV NEARBY_ADDR=0.0.0.0:8080 NEARBY_DATA=/data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["/nearby", "health"]
ENTRYPOINT ["/nearby"]
CMD ["serve"]
