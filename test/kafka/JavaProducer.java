// Kafka's own Java client as a worker's producer, for what no other client here can write: batches in every codec, and
// transactions. Run from its source (JEP 330), with the broker's jars on the class path:
//
//   java -cp 'lib/*' JavaProducer.java <bootstrap> <topic> <partition> <correlation id> <step>...
//
// A step is `<codec>:<text>`, which sends twenty records `<text>-<n>` in one batch of that codec, or `commit:<text>` or
// `abort:<text>`, which sends two in a transaction that ends so. Ends with code 0 when all is acknowledged.

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class JavaProducer {
  public static void main(String[] args) throws Exception {
    for (int index = 4; index < args.length; index += 1) {
      String[] step = args[index].split(":", 2);
      boolean isTransaction = step[0].equals("commit") || step[0].equals("abort");
      Properties settings = new Properties();
      settings.put("bootstrap.servers", args[0]);
      settings.put("key.serializer", StringSerializer.class.getName());
      settings.put("value.serializer", StringSerializer.class.getName());
      settings.put("linger.ms", "100");
      if (isTransaction) settings.put("transactional.id", args[1] + "-java");
      else settings.put("compression.type", step[0]);
      try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
        if (isTransaction) producer.initTransactions();
        if (isTransaction) producer.beginTransaction();
        List<Future<?>> acks = new ArrayList<>();
        for (int record = 0; record < (isTransaction ? 2 : 20); record += 1) acks.add(send(producer, args, step[1] + "-" + record));
        producer.flush();
        for (Future<?> ack : acks) ack.get();
        if (step[0].equals("commit")) producer.commitTransaction();
        if (step[0].equals("abort")) producer.abortTransaction();
      }
    }
  }

  private static Future<?> send(KafkaProducer<String, String> producer, String[] args, String text) {
    int partition = Integer.parseInt(args[2]);
    // Long enough that a codec finds something to do.
    String value = text + " " + "again and ".repeat(200);
    ProducerRecord<String, String> record = new ProducerRecord<>(args[1], partition, null, value);
    record.headers().add("kafka_correlationId", args[3].getBytes(StandardCharsets.UTF_8));
    return producer.send(record);
  }
}
