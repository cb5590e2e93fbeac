"""The default encoders as PyTorch networks: what their ONNX files are made from."""
