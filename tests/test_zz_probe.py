from tests.conftest import *
def test_probe(alice, sam, victor):
    for who, c in {"alice": signed_in(alice), "sam1": signed_in(sam), "sam2": signed_in(sam, has_second_factor=True)}.items():
        c.raise_request_exception = False
        for p in ["/staff/", "/staff/login/", "/staff/accounts/tenant/", "/staff/profile", "/staff/auth/group/", "/staff/nosuch", "/client/nosuch", "/client/"]:
            r = c.get(p)
            print(who, p, r.status_code, r.get("Location"))
    assert 0
