# syntax=docker/dockerfile:1
# docker build -t booking-svc .        or: make image, which says the version

FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH
ARG VERSION COMMIT DATE
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH TAGS=nodev scripts/build.sh /booking-svc

# Nothing but the binary, which has the time zones in it, and the roots that TLS connections are checked by.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /booking-svc /booking-svc
ARG VERSION COMMIT DATE
LABEL org.opencontainers.image.title="booking-svc" \
      org.opencontainers.image.description="Table bookings of restaurants: no table is sold twice" \
      org.opencontainers.image.source="https://github.com/bookingcontrol/booker-booking-svc" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.created="$DATE"
# A number, so that Kubernetes can tell that it is not root. The service writes no file.
USER 65532:65532
EXPOSE 50052 9092
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/booking-svc", "health"]
ENTRYPOINT ["/booking-svc"]
CMD ["serve"]
