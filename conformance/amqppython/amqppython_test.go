// Package amqppython runs the examples in Python, and the suites of pika,
// aio-pika and Celery.
package amqppython
