FROM python:3.11-slim as builder

RUN apt-get update && apt-get install -y --no-install-recommends \
    build-essential \
    gcc \
    g++ \
    git \
    wget \
    libsndfile1-dev \
    libavcodec-dev \
    && rm -rf /var/lib/apt/lists/*

RUN python -m venv /opt/venv
ENV PATH="/opt/venv/bin:$PATH"

COPY requirements.txt .

RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-cache-dir -r requirements.txt

RUN pip install --no-cache-dir iceoryx2

FROM python:3.11-slim as runtime

RUN apt-get update && apt-get install -y --no-install-recommends \
    libsndfile1 \
    ffmpeg \
    libsox-fmt-all \
    && rm -rf /var/lib/apt/lists/* \
    && apt-get clean

COPY --from=builder /opt/venv /opt/venv
ENV PATH="/opt/venv/bin:$PATH"

RUN useradd -m -u 1000 omniasr && \
    mkdir -p /tmp/iceoryx2 && \
    chown omniasr:omniasr /tmp/iceoryx2

USER omniasr
WORKDIR /home/omniasr/app

COPY --chown=omniasr:omniasr ./app ./src

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

STOPSIGNAL SIGTERM

CMD ["python", "src/work.py"]
