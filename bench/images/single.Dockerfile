FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends BUILD_PACKAGES RUNTIME_PACKAGES \
    && rm -rf /var/lib/apt/lists/*
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt iceoryx2==0.10.0
RUN useradd -m -u 1000 app
WORKDIR /app
COPY app/ .
USER app
CMD ["python", "work.py"]
