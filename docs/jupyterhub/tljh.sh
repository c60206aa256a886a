#!/bin/bash
# Puts the course on a server with The Littlest JupyterHub. Run it in the course's folder:
#     sudo bash docs/jupyterhub/tljh.sh
# Run it again when the course has changed. Filling the cache takes about 10 minutes
# on 2 slow cores.
set -euo pipefail
umask 022 # what it makes can be read by all

python=/opt/tljh/user/bin/python
shared=/srv/tlcourse

if [ "$(id -u)" != 0 ] || [ ! -x "$python" ] || [ ! -d notebooks ]; then
    echo "Run this with sudo, in the course's folder, on a server with The Littlest JupyterHub." >&2
    exit 2
fi

if ! "$python" -c "import sys; sys.exit(sys.version_info < (3, 11))"; then
    echo "The course needs Python 3.11 or newer. Install a newer The Littlest JupyterHub." >&2
    exit 2
fi

# 1. The course, with PyTorch for the CPU, for all users.
"$python" -m pip install --no-cache-dir torch==2.14.1 torchvision==0.29.1 \
    --index-url https://download.pytorch.org/whl/cpu
"$python" -m pip install --no-cache-dir -c constraints.txt .

# 2. The shared cache: each notebook runs once, then nobody but root can change what it stored.
mkdir -p "$shared"
report="$PWD/tlcourse-report.html"
(cd / && TLCOURSE_CACHE="$shared" /opt/tljh/user/bin/tlcourse run --report "$report")
chmod -R u=rwX,go=rX "$shared"

# 3. The notebooks. A new user's home begins as a copy of /etc/skel.
mkdir -p /etc/skel/notebooks
cp -r notebooks/. /etc/skel/notebooks/

# 4. Limits of a learner, and servers that nobody uses end after an hour.
tljh-config set limits.memory 3G
tljh-config set limits.cpu 2
tljh-config set services.cull.timeout 3600
cp docs/jupyterhub/hub_settings.py /opt/tljh/config/jupyterhub_config.d/tlcourse.py
tljh-config reload
