"""What each learner's server gets, on The Littlest JupyterHub; tljh.sh puts it in its place."""

c = get_config()  # noqa: F821  JupyterHub gives it to this file

c.Spawner.default_url = "/lab/tree/notebooks/00_start_here.ipynb"
c.Spawner.environment.update(
    {
        "OMP_NUM_THREADS": "2",  # as many as limits.cpu
        "OMP_WAIT_POLICY": "passive",  # idle threads sleep: the cores are shared
        "TLCOURSE_SHARED_CACHE": "/srv/tlcourse",
    }
)
c.Spawner.start_timeout = 180  # seconds; all come in the same minute
