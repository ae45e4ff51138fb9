"""The API process: HTTP in, the gateway and the control link out, answers rendered."""
