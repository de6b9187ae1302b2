/* The fused loops behind networks/fused.py: float32, contiguous, one thread.
 *
 * PyTorch's own kernel of PReLU's backward is not vectorised, and the gated form would be a dozen
 * passes over memory.  Tensors come as addresses and are seen as (L, R, C, K): L independent copies,
 * R rows, C units, K positions of each unit; alpha is (L, C) and its gradient is summed in double.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef Py_ssize_t Size;

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORISED
#endif

/* cos(pi/2 * sqrt(w)) on [0, 1] to 1e-9: exactly 1 at 0 and 0 at 1, w = (phi'/L)^2. */
static inline float gate_of(float slope, float scale) {
    float w = slope * slope * scale;
    float p = -8.93956661e-04f + w * 2.38253150e-05f;
    p = 1.99688449e-02f + w * p;
    p = -2.33700547e-01f + w * p;
    return (1.0f - w) * (1.0f + w * p);
}

/* exp(-t) for t >= 0, to 2 units in the last place; 0 from t = 87 on, where it is below 1e-37. The
 * smaller of two floats is taken as integers: a choice of floats would not be vectorised. */
static inline float exp_minus(float t) {
    float alive = (float)(t < 87.0f);
    int32_t bits;
    memcpy(&bits, &t, 4);
    bits = bits > 0x42AE0000 ? 0x42AE0000 : bits; /* 87.0f */
    memcpy(&t, &bits, 4);
    float z = -1.44269504f * t;
    int32_t k = (int32_t)(z - 0.5f);             /* z <= 0: rounds to the nearest */
    float f = (z - (float)k) * 0.693147181f;     /* |f| <= 0.35 */
    float p = 1.0f + f * (1.0f + f * (0.5f + f * (1.66666667e-1f +
              f * (4.16666667e-2f + f * (8.33333333e-3f + f * 1.38888889e-3f)))));
    bits = (k + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return p * power * alive;
}

/* Walks the elements i of units c of (L, R, C, K). */
#define FORWARD(STEP)                                                                            \
    for (Size lr = 0; lr < L * R; lr++) {                                                        \
        const float *al = a + lr / R * C;                                                        \
        Size start = lr * C * K;                                                                 \
        if (K == 1)                                                                              \
            for (Size c = 0; c < C; c++) {                                                       \
                Size i = start + c;                                                              \
                STEP;                                                                            \
            }                                                                                    \
        else                                                                                     \
            for (Size c = 0; c < C; c++)                                                         \
                for (Size i = start + c * K; i < start + (c + 1) * K; i++) {                     \
                    STEP;                                                                        \
                }                                                                                \
    }

static inline float prelu(float x, float a) { return x > 0 ? x : a * x; }

VECTORISED
static void relu_forward(const float *restrict x, const float *restrict a, float *restrict y, Size L,
                         Size R, Size C, Size K) {
    FORWARD(y[i] = prelu(x[i], al[c]))
}

/* Slopes of the base from input and output; GELU' = Phi(x) + x density(x), Phi(x) = GELU(x) / x. */
static inline float tanh_slope(float y) { return 1.0f - y * y; }

static inline float gelu_slope(float x, float y) {
    float zero = (float)(x * x == 0); /* no branch around the division */
    float cdf = (y + 0.5f * zero) / (x + zero);
    return cdf + 0.39894228f * x * exp_minus(0.5f * x * x);
}

/* y += alpha * x * gate(slope); the slope goes to s, for the backward pass. */
#define GATED(SLOPE) FORWARD(s[i] = SLOPE; y[i] += al[c] * (x[i] * gate_of(s[i], scale)))

enum { GIVEN, TANH, GELU };

VECTORISED
static void gated_forward(const float *restrict x, float *restrict s, const float *restrict a,
                          float *restrict y, float scale, int base, Size L, Size R, Size C, Size K) {
    if (base == TANH)
        GATED(tanh_slope(y[i]))
    else if (base == GELU)
        GATED(gelu_slope(x[i], y[i]))
    else
        GATED(s[i])
}

/* The backward pass of a unit: dx = g * (slope + alpha * gate) and da += g * x * gate. ReLU's gate
 * is 1 - slope. Sums are taken in float over short runs, and over these in double. */
static inline float gated_step(float g, float x, float s, float a, float scale, float *dx) {
    float gate = gate_of(s, scale);
    *dx = g * (s + a * gate);
    return g * (x * gate);
}

static inline float relu_step(float g, float x, float a, float *dx) {
    float part = g * x;
    int32_t bits;
    memcpy(&bits, &part, 4);
    bits &= (int32_t)(x > 0) - 1; /* a product with 0 would make infinity NaN, a choice is slow */
    memcpy(&part, &bits, 4);
    *dx = x > 0 ? g : g * a;
    return part;
}

#define UNITS 512
#define ROWS 32

/* Walks the units of (L, R, C, K); STEP handles element i of unit c and returns its part of da. */
#define BACKWARD(STEP)                                                                           \
    for (Size l = 0; l < L; l++) {                                                               \
        const float *al = a + l * C;                                                             \
        double *dal = da + l * C;                                                                \
        Size start = l * R * C * K;                                                              \
        if (K == 1) {                                                                            \
            for (Size r0 = 0; r0 < R; r0 += ROWS)                                                \
                for (Size c0 = 0; c0 < C; c0 += UNITS) {                                         \
                    Size rows = R - r0 < ROWS ? R - r0 : ROWS;                                   \
                    Size units = C - c0 < UNITS ? C - c0 : UNITS;                                \
                    float sums[UNITS] = {0};                                                     \
                    for (Size r = r0; r < r0 + rows; r++) {                                      \
                        Size first = start + r * C + c0;                                         \
                        for (Size u = 0; u < units; u++) {                                       \
                            Size i = first + u, c = c0 + u;                                      \
                            sums[u] += STEP;                                                     \
                        }                                                                        \
                    }                                                                            \
                    for (Size u = 0; u < units; u++) dal[c0 + u] += sums[u];                     \
                }                                                                                \
        } else                                                                                   \
            for (Size rc = 0; rc < R * C; rc++) {                                                \
                Size c = rc % C, first = start + rc * K;                                         \
                double sum = 0;                                                                  \
                for (Size k0 = 0; k0 < K; k0 += 1024) {                                          \
                    Size end = first + (K - k0 < 1024 ? K : k0 + 1024);                          \
                    float part = 0;                                                              \
                    for (Size i = first + k0; i < end; i++) part += STEP;                        \
                    sum += part;                                                                 \
                }                                                                                \
                dal[c] += sum;                                                                   \
            }                                                                                    \
    }

VECTORISED
static void gated_backward(const float *restrict g, const float *restrict x, const float *restrict s,
                           const float *restrict a, float *restrict dx, double *restrict da,
                           float scale, Size L, Size R, Size C, Size K) {
    BACKWARD(gated_step(g[i], x[i], s[i], al[c], scale, &dx[i]))
}

VECTORISED
static void relu_backward(const float *restrict g, const float *restrict x, const float *restrict a,
                          float *restrict dx, double *restrict da, Size L, Size R, Size C, Size K) {
    BACKWARD(relu_step(g[i], x[i], al[c], &dx[i]))
}

static PyObject *py_relu_forward(PyObject *self, PyObject *args) {
    Size x, a, y, L, R, C, K;
    if (!PyArg_ParseTuple(args, "nnnnnnn", &x, &a, &y, &L, &R, &C, &K)) return NULL;
    relu_forward((float *)x, (float *)a, (float *)y, L, R, C, K);
    Py_RETURN_NONE;
}

static PyObject *py_gated_forward(PyObject *self, PyObject *args) {
    Size x, s, a, y, L, R, C, K;
    float scale;
    int base;
    if (!PyArg_ParseTuple(args, "nnnnfinnnn", &x, &s, &a, &y, &scale, &base, &L, &R, &C, &K))
        return NULL;
    gated_forward((float *)x, (float *)s, (float *)a, (float *)y, scale, base, L, R, C, K);
    Py_RETURN_NONE;
}

static PyObject *py_gated_backward(PyObject *self, PyObject *args) {
    Size g, x, s, a, dx, da, L, R, C, K;
    float scale;
    if (!PyArg_ParseTuple(args, "nnnnnnfnnnn", &g, &x, &s, &a, &dx, &da, &scale, &L, &R, &C, &K))
        return NULL;
    gated_backward((float *)g, (float *)x, (float *)s, (float *)a, (float *)dx, (double *)da, scale,
                   L, R, C, K);
    Py_RETURN_NONE;
}

static PyObject *py_relu_backward(PyObject *self, PyObject *args) {
    Size g, x, a, dx, da, L, R, C, K;
    if (!PyArg_ParseTuple(args, "nnnnnnnnn", &g, &x, &a, &dx, &da, &L, &R, &C, &K)) return NULL;
    relu_backward((float *)g, (float *)x, (float *)a, (float *)dx, (double *)da, L, R, C, K);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"relu_forward", py_relu_forward, METH_VARARGS, "(x, alpha, y, L, R, C, K)"},
    {"gated_forward", py_gated_forward, METH_VARARGS, 
     "(x, slope, alpha, y, scale, base: 0 for a given slope, 1 tanh, 2 GELU, L, R, C, K)"},
    {"gated_backward", py_gated_backward, METH_VARARGS,
     "(grad, x, slope, alpha, dx, dalpha, scale, L, R, C, K)"},
    {"relu_backward", py_relu_backward, METH_VARARGS,
     "(grad, x, alpha, dx, dalpha, L, R, C, K)"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fused", "Fused loops of AdaLin.", -1,
                                    methods};

PyMODINIT_FUNC PyInit__fused(void) { return PyModule_Create(&module); }
