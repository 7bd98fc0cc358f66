# One image for both programs: the service, which it runs unless told otherwise, and the replay (`python -m producer`).
#   docker build -t txwatch . && docker run --rm txwatch --help

FROM python:3.13-slim AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv --without-pip /opt/txwatch
COPY requirements/runtime.lock /
# Wheels only: what is not in the lock by its hash, or would have to be built, stops the build.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/txwatch/bin/python install --require-hashes --no-deps --only-binary :all: --no-compile -r /runtime.lock
# With a read-only root Python could not keep what it compiles.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/txwatch/lib

FROM python:3.13-slim AS code
COPY producer /app/producer
COPY service /app/service
RUN python -m compileall -q --invalidation-mode unchecked-hash /app

FROM python:3.13-slim
RUN pip uninstall --quiet --yes --root-user-action=ignore pip \
 && groupadd --system --gid 10001 txwatch \
 && useradd --system --uid 10001 --gid txwatch --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin txwatch
COPY --link --from=packages /opt/txwatch /opt/txwatch
COPY --link --from=code /app /app
WORKDIR /app
ENV PATH=/opt/txwatch/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-m", "service.app.healthcheck"]
ENTRYPOINT ["python", "-m", "service"]
CMD ["run"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="txwatch" \
      org.opencontainers.image.description="Finds anomalous transactions in a Kafka stream" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The txwatch authors" \
      org.opencontainers.image.base.name="python:3.13-slim"
