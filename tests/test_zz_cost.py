import time
from django.test import Client, RequestFactory
from django.core.handlers.wsgi import WSGIHandler
import io
def test_cost(db):
    from portal.wsgi import application
    def run(extra, path="/client/login", method="POST"):
        env={"REQUEST_METHOD":method,"PATH_INFO":path,"QUERY_STRING":"","SERVER_NAME":"localhost","SERVER_PORT":"80","HTTP_HOST":"localhost","wsgi.input":io.BytesIO(b""),"wsgi.url_scheme":"http","wsgi.errors":None,"CONTENT_LENGTH":"0",**extra}
        st=[]
        r=application(env,lambda s,h,e=None: st.append(s)); b"".join(r); r.close()
        return st[0]
    def t(n,*a):
        run(*a); x=time.thread_time(); 
        for _ in range(n): s=run(*a)
        print(s,(time.thread_time()-x)/n*1e3,"ms cpu")
    t(200,{"asgi.scope":{"portal.came_too_often":True}})
    t(200,{}, "/healthz","GET")
    t(200,{}, "/client/login","GET")
