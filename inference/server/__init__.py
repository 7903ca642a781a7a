"""KServe's model server with what a hot path needs: routes before its application, own gRPC, a process a worker."""
