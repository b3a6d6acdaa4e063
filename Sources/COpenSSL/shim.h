// OpenSSL 3 for Swift.
//
// Swift imports the functions as they are. It cannot import macros that call a function, cast or shift: those it needs
// are repeated here as functions, prefixed df2redis_.

#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

// SSL_OP_BIT shifts. No renegotiation: nothing is negotiated anew in the middle of a stream.
static inline void df2redis_ssl_ctx_harden(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
}

// SSL_CTX_ctrl macros.
static inline int df2redis_ssl_ctx_limit_versions(SSL_CTX *context, int oldest, int newest) {
    return SSL_CTX_set_min_proto_version(context, oldest) && SSL_CTX_set_max_proto_version(context, newest);
}

static inline void df2redis_ssl_ctx_set_buffering(SSL_CTX *context, size_t read_buffer) {
    SSL_CTX_set_mode(
        context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, read_buffer);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

// An SSL_ctrl macro that casts.
static inline int df2redis_ssl_set_server_name(SSL *ssl, const char *name) {
    return (int)SSL_set_tlsext_host_name(ssl, name);
}

// SSL_set_ex_data macros.
static inline int df2redis_ssl_set_owner(SSL *ssl, void *owner) { return SSL_set_app_data(ssl, owner); }
static inline void *df2redis_ssl_owner(const SSL *ssl) { return SSL_get_app_data(ssl); }

// BIO_set_flags macros.
static inline void df2redis_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline void df2redis_bio_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }

// The flags of X509_NAME_print_ex shift.
static inline int df2redis_print_name(BIO *out, const X509_NAME *name) {
    return X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
}

// EVP_EC_gen is a macro around a variadic function.
static inline EVP_PKEY *df2redis_generate_key(void) { return EVP_EC_gen("P-256"); }

// The code of an alert of the peer within the reason of an error; 0 when it is none.
static inline int df2redis_alert(unsigned long error) {
    int reason = ERR_GET_REASON(error);
    return ERR_GET_LIB(error) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256
               ? reason - SSL_AD_REASON_OFFSET
               : 0;
}
