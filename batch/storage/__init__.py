"""Before step 1: files that lie elsewhere: s3://, sftp:// and https://."""
