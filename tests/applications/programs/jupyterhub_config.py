"""A JupyterHub without a proxy: requests go to the hub itself."""

import os

from jupyterhub.proxy import Proxy


class NoProxy(Proxy):
    """Keeps the routes, and routes nothing."""

    should_start = False
    routes = {}

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return self.routes


c = get_config()  # noqa: F821
c.JupyterHub.db_url = os.environ["HUB_URL"]
c.JupyterHub.hub_port = int(os.environ["HUB_PORT"])
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.services = [{"name": "test", "api_token": "token-of-the-test", "admin": True}]
c.JupyterHub.load_roles = [
    {"name": "test", "scopes": ["admin:users"], "services": ["test"]},
]
c.Authenticator.allow_all = True
