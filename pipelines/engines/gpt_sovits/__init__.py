"""GPT-SoVITS (RVC-Boss, MIT): its networks and the way from the official files to ours."""
