#!/bin/sh
# Made by `costweir render`. Makes the secrets of the compose file, once: run it again and nothing changes.
#
# The folder is for its owner alone (0700); its files are 0444, because a container reads its own one as another user.
# No secret is ever printed. To change one, delete its file, run this again, and tell the service that knows the old one.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets config
chmod 700 secrets
# Costweir reads config/costweir.toml as another user; no secret belongs into it.
chmod 755 config

random() { # as many random bytes as are asked for, in hexadecimal digits
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

keep() { # keep NAME: writes what comes in, unless the file is there
    if [ -e "secrets/$1" ]; then
        cat > /dev/null
        return
    fi
    cat > "secrets/$1.part"
    chmod 444 "secrets/$1.part"
    mv "secrets/$1.part" "secrets/$1"
    echo "made secrets/$1" >&2
}

secret() { # secret NAME: 32 random bytes
    random 32 | keep "$1"
}

held() { # held NAME: what is in a secret
    cat "secrets/$1"
}

secret grafana_admin_password
secret grafana_secret_key
secret postgres_password
secret postgres_reader_password
secret langfuse_db_password
secret clickhouse_password
secret redis_password
secret objects_key_id
secret objects_key
secret langfuse_salt
secret langfuse_encryption_key
secret langfuse_session_key

# Where alerts go is yours to say: put the address or the key into the file, on one line. Empty means that nobody is told.
for name in slack_url slack_critical_url pagerduty_key webhook_url heartbeat_url smtp_password; do
    keep "$name" < /dev/null
    chmod 644 "secrets/$name"
done

printf 'requirepass %s\n' "$(held redis_password)" | keep redis_conf
printf '{"redis://redis:6379": "%s"}\n' "$(held redis_password)" | keep redis_exporter.json

# What follows is read by compose itself, and stands in the environment of one service, which knows no other way.
printf '# Keys of providers: NAME=value here, and api_key_env = "NAME" in config/costweir.toml.\n' | keep costweir.env
{
    printf 'AWS_ACCESS_KEY_ID=%s\n' "$(held objects_key_id)"
    printf 'AWS_SECRET_ACCESS_KEY=%s\n' "$(held objects_key)"
} | keep objects.env
{
    printf 'DATABASE_URL=postgresql://langfuse:%s@postgres:5432/langfuse\n' "$(held langfuse_db_password)"
    printf 'SALT=%s\n' "$(held langfuse_salt)"
    printf 'ENCRYPTION_KEY=%s\n' "$(held langfuse_encryption_key)"
    printf 'NEXTAUTH_SECRET=%s\n' "$(held langfuse_session_key)"
    printf 'CLICKHOUSE_PASSWORD=%s\n' "$(held clickhouse_password)"
    printf 'REDIS_AUTH=%s\n' "$(held redis_password)"
    for kind in EVENT MEDIA; do
        printf 'LANGFUSE_S3_%s_UPLOAD_ACCESS_KEY_ID=%s\n' "$kind" "$(held objects_key_id)"
        printf 'LANGFUSE_S3_%s_UPLOAD_SECRET_ACCESS_KEY=%s\n' "$kind" "$(held objects_key)"
    done
    printf 'LANGFUSE_INIT_ORG_ID=costweir\nLANGFUSE_INIT_PROJECT_ID=costweir\n'
    printf 'LANGFUSE_INIT_PROJECT_PUBLIC_KEY=pk-lf-%s\n' "$(random 16)"
    printf 'LANGFUSE_INIT_PROJECT_SECRET_KEY=sk-lf-%s\n' "$(random 16)"
    printf 'LANGFUSE_INIT_USER_EMAIL=admin@example.com\nLANGFUSE_INIT_USER_NAME=admin\n'
    printf 'LANGFUSE_INIT_USER_PASSWORD=%s\n' "$(random 16)"
} | keep langfuse.env
# Only compose reads these, as the user that runs it.
chmod 600 secrets/*.env
