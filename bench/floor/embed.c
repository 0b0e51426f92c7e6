/* The interpreter's floor: what any server must do in Python for a request, and nothing else. It copies an
   environ of 16 keys, puts new strings into it, and calls the application. No header is parsed, no status is
   read, no rule is checked. `embed PORT PYTHON DIRECTORY MODULE ATTRIBUTE STRINGS [THREADS]`: with several
   threads, each enters the interpreter for the answer alone. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STRINGS = 32, STRING_LENGTH = 26 };

static PyObject *application;
static PyObject *template;
static PyObject *start_response;
static PyObject *names[STRINGS];
static int strings;

static PyObject *accept_response(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self;
    (void)arguments;
    (void)count;
    Py_RETURN_NONE;
}

static PyMethodDef accept_method = {
    "start_response", (PyCFunction)(void (*)(void))accept_response, METH_FASTCALL, NULL};

static void give_up(const char *what)
{
    PyErr_Print();
    fprintf(stderr, "embed: %s\n", what);
    exit(1);
}

static void *held(void *object, const char *what)
{
    if (object == NULL)
        give_up(what);
    return object;
}

static size_t answer(const char *head, size_t length, char *out)
{
    PyObject *environ = held(PyDict_Copy(template), "no environ");
    for (int i = 0; i < strings; i++) {
        /* Any bytes of the request do: what costs is to make a string and to set it. */
        size_t at = length > STRING_LENGTH ? (size_t)i % (length - STRING_LENGTH) : 0;
        size_t size = length < STRING_LENGTH ? length : STRING_LENGTH;
        PyObject *value = held(PyUnicode_DecodeLatin1(head + at, (Py_ssize_t)size, NULL), "no string");
        if (PyDict_SetItem(environ, names[i], value) < 0)
            give_up("no item");
        Py_DECREF(value);
    }
    PyObject *arguments[] = {environ, start_response};
    PyObject *result = held(PyObject_Vectorcall(application, arguments, 2, NULL), "the application failed");
    PyObject *block = held(PyList_GetItem(result, 0), "the application gave no list");
    size_t body = (size_t)PyBytes_GET_SIZE(block);
    int written = snprintf(out, ANSWER_ROOM,
                           "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                           "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: floor\r\n\r\n",
                           body);
    if (body > ANSWER_ROOM - (size_t)written)
        give_up("the body is too long");
    memcpy(out + written, PyBytes_AS_STRING(block), body);
    Py_DECREF(result);
    Py_DECREF(environ);
    return (size_t)written + body;
}

/* The same on a thread that is outside the interpreter. */
static size_t enter_and_answer(const char *head, size_t length, char *out)
{
    static _Thread_local PyThreadState *state;
    if (state == NULL) {
        PyGILState_Ensure();
        state = PyThreadState_Get();
    } else {
        PyEval_RestoreThread(state);
    }
    size_t written = answer(head, length, out);
    PyEval_SaveThread();
    return written;
}

int main(int argc, char **argv)
{
    if (argc != 7 && argc != 8) {
        fprintf(stderr, "usage: embed PORT PYTHON DIRECTORY MODULE ATTRIBUTE STRINGS [THREADS]\n");
        return 2;
    }
    int threads = argc == 8 ? atoi(argv[7]) : 1;
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    PyConfig_SetBytesString(&config, &config.program_name, argv[2]);
    if (PyStatus_Exception(Py_InitializeFromConfig(&config)))
        give_up("Python does not start");
    PyConfig_Clear(&config);

    PyObject *path = held(PySys_GetObject("path"), "no sys.path");
    PyObject *directory = held(PyUnicode_DecodeFSDefault(argv[3]), "no directory");
    if (PyList_Insert(path, 0, directory) < 0)
        give_up("no sys.path");
    Py_DECREF(directory);
    PyObject *module = held(PyImport_ImportModule(argv[4]), "no module");
    application = held(PyObject_GetAttrString(module, argv[5]), "no application");
    start_response = held(PyCFunction_New(&accept_method, NULL), "no start_response");

    strings = atoi(argv[6]);
    if (strings < 0 || strings > STRINGS)
        give_up("too many strings");
    template = held(PyDict_New(), "no environ");
    for (int i = 0; i < 16; i++) {
        char name[32];
        snprintf(name, sizeof name, "wsgi.constant_%d", i);
        if (PyDict_SetItemString(template, name, Py_True) < 0)
            give_up("no environ");
    }
    for (int i = 0; i < strings; i++) {
        char name[32];
        snprintf(name, sizeof name, "HTTP_VARIABLE_%d", i);
        names[i] = held(PyUnicode_InternFromString(name), "no name");
    }
    if (threads <= 1)
        return serve(atoi(argv[1]), answer);
    PyEval_SaveThread();
    return serve_with_threads(atoi(argv[1]), threads, enter_and_answer);
}
