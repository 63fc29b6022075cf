# syntax=docker/dockerfile:1
# All parts, each a target; the context is the root of the repository:
#   docker build --target orchestrator --tag web-orchestrator -f examples/flask_demo/deploy/docker/web.Dockerfile .
# Keys, certificates and passwords are no part of an image: they are mounted where it runs.
FROM python:3.13-slim-trixie AS python
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

FROM python AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src src
COPY examples/flask_demo/deploy/docker/*.txt needs/

FROM build AS frontend-needs
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv install --constraint constraints.txt --requirement needs/frontend.txt

FROM build AS orchestrator-needs
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv install --constraint constraints.txt --requirement needs/orchestrator.txt

FROM build AS tools-needs
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv install --constraint constraints.txt --requirement needs/tools.txt

FROM build AS identity-needs
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv install --constraint constraints.txt --requirement needs/identity.txt

# What all parts run in: the certificate authorities of the world come with the image, and it is seen to that they do.
FROM python AS part
RUN test -s /etc/ssl/certs/ca-certificates.crt \
    && groupadd --gid 10001 web \
    && useradd --uid 10001 --gid web --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin web
WORKDIR /app
COPY examples/flask_demo examples/flask_demo
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/app/examples/flask_demo/deploy/docker/healthy.py"]

FROM part AS frontend
COPY --from=frontend-needs /opt/venv /opt/venv
ENV LISTEN=0.0.0.0:8080 ADMIN_LISTEN=0.0.0.0:9090
EXPOSE 8080 9090
ENTRYPOINT ["python", "-m", "examples.flask_demo.frontend"]

FROM part AS orchestrator
COPY --from=orchestrator-needs /opt/venv /opt/venv
ENV LISTEN=0.0.0.0:8443 ADMIN_LISTEN=0.0.0.0:9090
EXPOSE 8443 9090
ENTRYPOINT ["python", "-m", "examples.flask_demo.orchestrator"]

FROM part AS tools
COPY --from=tools-needs /opt/venv /opt/venv
ENV LISTEN=0.0.0.0:8443 ADMIN_LISTEN=0.0.0.0:9090
EXPOSE 8443 9090
ENTRYPOINT ["python", "-m", "examples.flask_demo.tool_servers"]

# For development only: whoever can reach it can sign in as anybody.
FROM part AS identity
COPY --from=identity-needs /opt/venv /opt/venv
ENV LISTEN=0.0.0.0:8090
EXPOSE 8090
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/app/examples/flask_demo/deploy/docker/healthy.py", "LISTEN", "/.well-known/openid-configuration"]
ENTRYPOINT ["python", "-m", "examples.flask_demo.identity"]
