# docker build -t sqlalchemy-pool-exporter:0.1.0 .
#
# A tag with a date never changes; hub.docker.com/_/debian lists newer ones. No line names an architecture and nothing is
# compiled: the image installs Debian packages and wheels, which exist for amd64 and arm64.
ARG DEBIAN_IMAGE=docker.io/library/debian:trixie-20260803-slim

FROM ${DEBIAN_IMAGE} AS python
# No versions: Debian's mirrors keep only the newest of each package, so a pinned one soon cannot be installed.
# hadolint ignore=DL3008
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*

FROM python AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
RUN python3 -m venv tools \
 && python3 -m venv --without-pip /opt/sqlalchemy-pool-exporter
# Dependencies come first, so that a change of our own source does not download them again.
COPY deploy/image/requirements.py ./
COPY agent/pyproject.toml agent/
COPY exporter/pyproject.toml exporter/
RUN ./requirements.py agent exporter >requirements.txt \
 && ./requirements.py --build agent exporter >requirements-build.txt \
 && tools/bin/pip install --no-cache-dir --only-binary=:all: --requirement requirements-build.txt \
 && tools/bin/pip --python /opt/sqlalchemy-pool-exporter/bin/python install \
      --no-cache-dir --only-binary=:all: --requirement requirements.txt
COPY LICENSE /opt/sqlalchemy-pool-exporter/
COPY agent agent
COPY exporter exporter
# Without an index the last install fails if one of our dependencies is missing above.
RUN tools/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir wheels ./agent ./exporter \
 && tools/bin/pip --python /opt/sqlalchemy-pool-exporter/bin/python install \
      --no-cache-dir --no-index --find-links wheels 'sqlalchemy-pool-exporter[isal,mysql,psycopg]' \
 && /opt/sqlalchemy-pool-exporter/bin/python -m sqlalchemy_pool_metrics export /opt/sqlalchemy-pool-metrics/agent

FROM python
# Remove the base's set-uid bits, so that no process can become root.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=build /opt /opt
ENV PATH=/opt/sqlalchemy-pool-exporter/bin:$PATH \
    PYTHONUNBUFFERED=1
# A number lets Kubernetes verify that it is not root (runAsNonRoot). Any other user works too.
USER 10001:10001
EXPOSE 9723
STOPSIGNAL SIGTERM
# http.client, because urllib would use a proxy from the environment. With another port or with TLS, pass another command.
# Kubernetes ignores this check.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9723, timeout=4); c.request('GET', '/-/healthy'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["sqlalchemy-pool-exporter"]
# Labels come last, because they change with each build.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="sqlalchemy-pool-exporter" \
      org.opencontainers.image.description="Prometheus exporter that shows what SQLAlchemy's connection pools are doing" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
