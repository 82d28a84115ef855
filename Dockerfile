# docker build -t sqlalchemy-pool-exporter:0.1.0 .
#
# A tag with a date never changes; hub.docker.com/_/debian lists newer ones. No line names an architecture, and nothing is
# compiled: what is installed here are Debian's packages and wheels, which there are for amd64 and for arm64.
ARG DEBIAN_IMAGE=docker.io/library/debian:trixie-20260803-slim

FROM ${DEBIAN_IMAGE} AS python
# No versions: Debian's mirrors keep only the newest of each package, so that a pinned one cannot be installed for long.
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
# First what others made, so that a change of our own source downloads nothing again.
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
# Without an index the last install fails where one of our dependencies is not among those above.
RUN tools/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir wheels ./agent ./exporter \
 && tools/bin/pip --python /opt/sqlalchemy-pool-exporter/bin/python install \
      --no-cache-dir --no-index --find-links wheels 'sqlalchemy-pool-exporter[mysql,psycopg]' \
 && /opt/sqlalchemy-pool-exporter/bin/python -m sqlalchemy_pool_metrics export /opt/sqlalchemy-pool-metrics/agent

FROM python
# Nobody becomes root here, by whatever the base has for it.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=build /opt /opt
ENV PATH=/opt/sqlalchemy-pool-exporter/bin:$PATH \
    PYTHONUNBUFFERED=1
# Numbers, so that Kubernetes can see that it is not root (runAsNonRoot). Any other user does as well.
USER 10001:10001
EXPOSE 9723
STOPSIGNAL SIGTERM
# Not urllib: it would ask a proxy that the environment names. With another port or with TLS, give another command;
# Kubernetes does not look at this one.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9723, timeout=4); c.request('GET', '/-/healthy'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["sqlalchemy-pool-exporter"]
# Last, because they change with each build.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="sqlalchemy-pool-exporter" \
      org.opencontainers.image.description="Prometheus exporter that shows what SQLAlchemy's connection pools are doing" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
