"""The variables that Kubernetes sets in each container for each Service of the namespace, told from settings. Pure.

The name of a Service `thalweg-x` gives `THALWEG_X_SERVICE_HOST`, `THALWEG_X_SERVICE_PORT`, `THALWEG_X_PORT`,
`THALWEG_X_PORT_9090_TCP`, `THALWEG_X_PORT_9090_TCP_ADDR` and further names. Nobody wrote these variables, so the
variables are neither settings nor mistakes. Source of the names:
https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables
"""

import re
from collections.abc import Mapping

_NAME = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+", re.IGNORECASE)
_PORT = "_PORT"


def is_service_link(name: str, environment: Mapping[str, str], is_setting: bool) -> bool:
    """True for a variable that Kubernetes sets about a Service.

    A name such as `THALWEG_X_PORT` may also be a setting with a typing error, so the name counts only with an address
    such as `tcp://10.0.0.7:9090` as its value. `THALWEG_HTTP_PORT` is the name of a setting (`is_setting`) and of the
    port of a Service `thalweg-http`. Such a name counts only with the variable of the Service's host beside it.
    """
    if _NAME.fullmatch(name):
        return True
    if not name.endswith(_PORT) or _ADDRESS.fullmatch(environment[name]) is None:
        return False
    return not is_setting or f"{name.removesuffix(_PORT)}_SERVICE_HOST" in environment
