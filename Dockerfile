# syntax=docker/dockerfile:1
# Costweir in one image: built with the locked versions, run as nobody in particular on a read-only root.
# Where images come from elsewhere: docker build --build-arg PYTHON_IMAGE=registry.example.com/python:3.13-slim-bookworm .
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-bookworm

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS build
ARG UV_VERSION=0.13.8
# Every extra that a server may need; the console tools of the tests stay out.
ARG EXTRAS="--extra aws --extra azure --extra gcp --extra objects --extra oidc --extra postgres --extra channels"
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=0 UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/costweir \
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet "uv==${UV_VERSION}"
COPY pyproject.toml uv.lock hatch_build.py README.md LICENSE NOTICE ./
# The libraries first: they change seldom, and a change of the code then builds in seconds.
# hadolint ignore=SC2086
RUN /opt/uv/bin/uv sync --quiet --frozen --no-default-groups --no-install-project ${EXTRAS}
COPY src ./src
# hadolint ignore=SC2086
RUN /opt/uv/bin/uv sync --quiet --frozen --no-default-groups --no-editable ${EXTRAS} \
    && find /opt/costweir -name __pycache__ -prune -exec rm -rf {} + \
    && find /opt/costweir -path '*/site-packages/*' -type d -name tests -prune -exec rm -rf {} + \
    && find /opt/costweir -path '*/site-packages/*' -type f \( -name '*.c' -o -name '*.pyx' -o -name '*.pyi' \) -delete

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="costweir" \
      org.opencontainers.image.description="Reads AI bills, holds AI calls at their budget, explains the spend and joins the two." \
      org.opencontainers.image.licenses="Apache-2.0"
# The folders exist with their owner, so that a new volume takes it over.
RUN groupadd --gid 10001 costweir \
    && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin costweir \
    && install -d -o 10001 -g 10001 -m 0750 /data /backup \
    && install -d -o 10001 -g 10001 -m 0755 /run/tokens /config
COPY --from=build /opt/costweir /opt/costweir
ENV PATH=/opt/costweir/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/data \
    COSTWEIR_DATA_DIR=/data COSTWEIR_HOST=0.0.0.0 XDG_CONFIG_HOME=/config
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080 4000 8090 4318
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=5 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/ready', timeout=3)"]
ENTRYPOINT ["costweir"]
CMD ["up"]
