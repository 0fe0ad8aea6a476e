"""OpenVINO as another runtime of frozen models on CPUs: converted once a machine, proved equal to torch, and kept."""
